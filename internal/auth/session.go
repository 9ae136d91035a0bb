package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/secret"
)

// Session is who is signed in to one environment. It may be used by many
// goroutines. Nothing is read before it is asked for a token.
type Session struct {
	client   *Client
	store    *Store
	envToken secret.String // VILLAPAY_TOKEN
	sem      chan struct{} // a mutex that a context can end; guards the rest

	tokens     Tokens    // as last seen; zero before
	retryAfter time.Time // after a failed refresh of a token that is still good
}

// NewSession makes the session of client's environment, kept in store. envToken
// is VILLAPAY_TOKEN: if it is set, it is the session, and store is not touched.
func NewSession(client *Client, store *Store, envToken secret.String) *Session {
	return &Session{client: client, store: store, envToken: envToken, sem: make(chan struct{}, 1)}
}

func (s *Session) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.sem <- struct{}{}:
		return func() { <-s.sem }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// record is how tokens are written down.
type record struct {
	Username   string    `json:"username"`
	ID         string    `json:"id"`
	Access     string    `json:"access,omitempty"`
	Refresh    string    `json:"refresh,omitempty"`
	Device     string    `json:"device,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func newRecord(t Tokens) record {
	return record{t.Username, t.ID.Reveal(), t.Access.Reveal(), t.Refresh.Reveal(), t.Device, t.ReceivedAt.UTC(), t.ExpiresAt.UTC()}
}

func (r record) tokens() Tokens {
	return Tokens{
		ID: secret.New(r.ID), Access: secret.New(r.Access), Refresh: secret.New(r.Refresh),
		Username: r.Username, Device: r.Device, ReceivedAt: r.ReceivedAt, ExpiresAt: r.ExpiresAt,
	}
}

func (s *Store) openSession(ctx context.Context, c contents, name string) (t Tokens, found bool, err error) {
	e, found := c.Sessions[name]
	if !found {
		return Tokens{}, false, nil
	}
	var r record
	if err := s.open(ctx, e, name, &r); err != nil {
		return Tokens{}, true, err
	}
	return r.tokens(), true, nil
}

func (s *Store) keepSession(ctx context.Context, mode Mode, name string, t Tokens) error {
	return s.keep(ctx, mode, "the tokens are", name, newRecord(t), func(c *contents, e entry) { c.Sessions[name] = e })
}

// Token returns an ID token that is good for a while: VILLAPAY_TOKEN, or the
// stored one, refreshed if it is about to expire.
func (s *Session) Token(ctx context.Context) (secret.String, error) {
	if !s.envToken.Empty() {
		return s.envToken, checkEnvToken(s.envToken)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return secret.String{}, err
	}
	defer unlock()
	if s.tokens.ID.Empty() {
		if s.tokens, err = s.load(ctx); err != nil {
			return secret.String{}, err
		}
	}
	now := s.client.now()
	usable := now.Before(s.tokens.ExpiresAt)
	switch {
	case s.tokens.fresh(now), usable && (s.tokens.Refresh.Empty() || now.Before(s.retryAfter)):
		return s.tokens.ID, nil
	case !usable:
		return s.refresh(ctx, secret.String{})
	}
	token, err := s.refresh(ctx, secret.String{})
	var authErr *Error
	if err == nil || errors.As(err, &authErr) && authErr.Kind == NotSignedIn || ctx.Err() != nil {
		return token, err
	}
	// The pool or the disk could not be reached. The token is good for some minutes yet.
	s.retryAfter = now.Add(30 * time.Second)
	s.client.warn(fmt.Sprintf("could not renew the session (%v); the current token is good until %s", err, s.tokens.ExpiresAt.Local().Format("15:04:05")))
	return s.tokens.ID, nil
}

// Refresh returns a token in place of used, which the API has just rejected:
// the stored one if that has changed since, else a new one.
func (s *Session) Refresh(ctx context.Context, used secret.String) (secret.String, error) {
	if !s.envToken.Empty() {
		return secret.String{}, s.envTokenRejected()
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return secret.String{}, err
	}
	defer unlock()
	if !s.tokens.ID.Empty() && s.tokens.ID.Reveal() != used.Reveal() && s.tokens.fresh(s.client.now()) {
		return s.tokens.ID, nil
	}
	return s.refresh(ctx, used)
}

// fresh reports whether a token need not be refreshed yet. It is five minutes,
// or a tenth of its life, before its end.
func (t Tokens) fresh(now time.Time) bool {
	margin := min(5*time.Minute, t.ExpiresAt.Sub(t.ReceivedAt)/10)
	return now.Before(t.ExpiresAt.Add(-margin))
}

// load reads the session without a lock.
func (s *Session) load(ctx context.Context) (Tokens, error) {
	c, err := s.store.read()
	if err != nil {
		return Tokens{}, s.unreadable(err)
	}
	return s.open(ctx, c)
}

// errNone is behind a session that is not there.
var errNone = errors.New("no session")

func (s *Session) open(ctx context.Context, c contents) (Tokens, error) {
	t, found, err := s.store.openSession(ctx, c, s.client.pool.session())
	switch {
	case err != nil:
		return Tokens{}, s.unreadable(err)
	case !found:
		return Tokens{}, &Error{Kind: NotSignedIn, Message: "not signed in to " + s.client.pool.Env, Hint: s.client.login(), Err: errNone}
	}
	return t, nil
}

// unreadable explains a session that is there and cannot be opened.
func (s *Session) unreadable(err error) error {
	var authErr *Error
	switch {
	case errors.As(err, &authErr), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errDamaged), errors.Is(err, errOtherKey):
		return &Error{Kind: NotSignedIn, Message: fmt.Sprintf("cannot open the session in %s: %v", s.store.Path(), err), Hint: s.client.login()}
	}
	return &Error{
		Kind: Config, Message: fmt.Sprintf("cannot open the session in %s: %v", s.store.Path(), err), Err: err,
		Hint: "unlock the keyring; or sign in again with villapay login --store file -e " + s.client.pool.Env,
	}
}

// refresh gets new tokens under the lock, unless another process already has.
// rejected is a token that the API did not take, empty if time is the reason.
func (s *Session) refresh(ctx context.Context, rejected secret.String) (secret.String, error) {
	name := s.client.pool.session()
	var fresh Tokens
	var received bool // new tokens, whether or not they could be saved
	err := s.store.change(ctx, func(c *contents) (bool, error) {
		stored, err := s.open(ctx, *c)
		if err != nil {
			return false, err
		}
		if stored.ID.Reveal() != rejected.Reveal() && stored.fresh(s.client.now()) {
			fresh = stored
			return false, nil
		}
		if stored.Refresh.Empty() {
			return false, s.cannotRefresh(stored, rejected)
		}
		fresh, err = s.client.Refresh(ctx, stored)
		if err != nil {
			return s.drop(ctx, c, stored, err, &fresh)
		}
		received = true
		e, err := s.store.encode(context.WithoutCancel(ctx), name, newRecord(fresh), c.Sessions[name].Plain == nil)
		if err == nil {
			c.Sessions[name] = e
		}
		return err == nil, err
	})
	if err != nil && received {
		s.client.warn("the renewed session could not be saved, so the next command may have to sign in again: " + err.Error())
		err = nil
	}
	if err != nil {
		return secret.String{}, err
	}
	s.tokens = fresh
	return s.tokens.ID, nil
}

// drop deletes a session that the pool has ended, but only if it is still the
// one that was sent: a writer on a disk without locks may have refreshed it.
func (s *Session) drop(ctx context.Context, c *contents, sent Tokens, cause error, fresh *Tokens) (bool, error) {
	var authErr *Error
	if !errors.As(cause, &authErr) || authErr.Kind != NotSignedIn {
		return false, cause
	}
	if again, err := s.load(ctx); err == nil && again.Refresh.Reveal() != sent.Refresh.Reveal() {
		*fresh = again
		return false, nil
	}
	delete(c.Sessions, s.client.pool.session())
	return true, cause
}

func (s *Session) cannotRefresh(stored Tokens, rejected secret.String) error {
	message := fmt.Sprintf("the token of %s expired at %s, and it came without a refresh token", s.client.pool.Env, stored.ExpiresAt.UTC().Format(time.RFC3339))
	if stored.ID.Reveal() == rejected.Reveal() && s.client.now().Before(stored.ExpiresAt) {
		message = fmt.Sprintf("the API rejected the token of %s, and it came without a refresh token", s.client.pool.Env)
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: s.client.login()}
}

// checkEnvToken reports a VILLAPAY_TOKEN that cannot work. Whether it has expired
// is the API's to judge: it has the better clock.
func checkEnvToken(token secret.String) error {
	var message string
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		message = "VILLAPAY_TOKEN is not a token: it contains white space or a character that no token has; give only the token, without a word such as Bearer"
	} else if c, err := parse(token.Reveal()); err == nil && c.Use == "access" {
		message = "VILLAPAY_TOKEN is an access token; the API needs the ID token"
	}
	if message == "" {
		return nil
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: EnvHint}
}

// EnvHint is what to do about a VILLAPAY_TOKEN that cannot be used.
const EnvHint = "set VILLAPAY_TOKEN to a new ID token, or unset it and run `villapay login`"

func (s *Session) envTokenRejected() error {
	message := "the API rejected the token in VILLAPAY_TOKEN"
	if c, err := parse(s.envToken.Reveal()); err != nil {
		message += ": " + err.Error()
	} else if c.Expires != 0 && !s.client.now().Before(c.Expires.Time()) {
		message += ": it expired at " + c.Expires.Time().UTC().Format(time.RFC3339)
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: EnvHint}
}

// Save makes t the session of the environment, kept as mode says. Before it is
// written unencrypted, there is a warning.
func (s *Session) Save(ctx context.Context, t Tokens, mode Mode) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.store.keepSession(ctx, mode, s.client.pool.session(), t); err != nil {
		return err
	}
	s.tokens = t
	return nil
}

// SignOut ends the session at the pool and forgets it here; everywhere ends all
// sessions of the user, on every device, and forgets nothing if that fails. ID
// tokens already given out live until they expire.
func (s *Session) SignOut(ctx context.Context, everywhere bool) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := s.load(ctx)
	switch {
	case errors.Is(err, errNone):
		return &Error{Kind: NotSignedIn, Message: "not signed in to " + s.client.pool.Env + ": nothing to sign out of"}
	case err != nil && everywhere, ctx.Err() != nil:
		return err
	case everywhere:
		if err := s.renewAccess(ctx, t); err != nil {
			return err
		}
	}
	err = s.store.remove(ctx, func(c *contents) error {
		// Another process may have signed in or refreshed meanwhile: what is stored now is
		// ended, so that nothing is forgotten that is still good.
		t, err := s.open(ctx, *c)
		switch {
		case errors.Is(err, errNone): // another process was first, or the file is damaged
		case err != nil && (everywhere || ctx.Err() != nil):
			return err
		case err != nil: // damaged, or under a key that is out of reach: forget it all the same
			s.client.warn("the session could not be ended at the pool: " + err.Error())
		case everywhere:
			if err := s.client.SignOutEverywhere(ctx, t); err != nil {
				return err
			}
		case !t.Refresh.Empty():
			err := s.client.Revoke(ctx, t)
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil {
				s.client.warn("the session is forgotten here, but could not be ended at the pool: " + err.Error())
			}
		}
		delete(c.Sessions, s.client.pool.session())
		return nil
	})
	if err == nil {
		s.tokens = Tokens{}
	}
	return err
}

// renewAccess refreshes the session t unless its access token, which signs out on all
// devices, is still good for a while.
func (s *Session) renewAccess(ctx context.Context, t Tokens) error {
	if t.Access.Empty() {
		return &Error{Kind: Denied, Message: "this session came from --with-token and has no access token: it cannot sign out other devices", Hint: "sign in with a password first: " + s.client.login()}
	}
	access := t
	if c, err := parse(t.Access.Reveal()); err == nil && c.life() > 0 {
		access.ExpiresAt = t.ReceivedAt.Add(c.life())
	}
	if access.fresh(s.client.now()) || t.Refresh.Empty() {
		return nil
	}
	_, err := s.refresh(ctx, t.ID)
	return err
}

// Status says who is signed in, where the tokens are, and until when.
type Status struct {
	Username   string
	Env        string
	UserPoolID string
	Store      string    // "environment" (VILLAPAY_TOKEN), "keyring" (a file encrypted with its key) or "file" (plain)
	Path       string    // the file; "" for the environment
	Warning    string    // what is wrong with keeping the tokens there, if anything
	ExpiresAt  time.Time // of the ID token; zero if it does not say
	Renewable  bool      // whether it is refreshed automatically
}

// Status reads the session without refreshing it. A VILLAPAY_TOKEN that
// [Session.Token] does not accept is the same error here.
func (s *Session) Status(ctx context.Context) (Status, error) {
	status := Status{Env: s.client.pool.Env, UserPoolID: s.client.pool.UserPoolID}
	if !s.envToken.Empty() {
		if err := checkEnvToken(s.envToken); err != nil {
			return status, err
		}
		status.Store = "environment"
		if c, err := parse(s.envToken.Reveal()); err == nil {
			status.Username = c.username()
			status.UserPoolID = c.Issuer[strings.LastIndex(c.Issuer, "/")+1:]
			if c.Expires != 0 {
				status.ExpiresAt = c.Expires.Time()
			}
		}
		return status, nil
	}
	c, err := s.store.read()
	if err != nil {
		return status, s.unreadable(err)
	}
	status.Store, status.Path = "keyring", s.store.Path()
	if c.Sessions[s.client.pool.session()].Plain != nil {
		status.Store = "file"
		status.Warning = "the tokens are in " + status.Path + " unencrypted (0600): to encrypt them, unlock a keyring and sign in again"
	}
	t, err := s.open(ctx, c)
	if err != nil {
		return Status{Env: status.Env, UserPoolID: status.UserPoolID}, err
	}
	status.Username, status.ExpiresAt, status.Renewable = t.Username, t.ExpiresAt, !t.Refresh.Empty()
	return status, nil
}
