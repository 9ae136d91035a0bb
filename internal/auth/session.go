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
// goroutines; nothing is read before it is asked.
type Session struct {
	client *Client
	store  *Store
	given  secret.String // VILLAPAY_TOKEN
	turn   chan struct{} // holds one element: whose turn it is to look at what follows

	tokens  Tokens    // as last seen; zero before
	restsTo time.Time // after a failed renewal of a token that is still good
}

// NewSession makes the session of client's environment, kept in store. given is
// VILLAPAY_TOKEN; where it is set, it is the session, and store is not touched.
func NewSession(client *Client, store *Store, given secret.String) *Session {
	s := &Session{client: client, store: store, given: given, turn: make(chan struct{}, 1)}
	if !given.Empty() {
		s.given = secret.New(strings.TrimSpace(given.Reveal()))
	}
	return s
}

// take waits for our turn.
func (s *Session) take(ctx context.Context) (done func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Token returns an ID token that is good for a while: VILLAPAY_TOKEN, or the
// stored one, renewed when it is about to expire.
func (s *Session) Token(ctx context.Context) (secret.String, error) {
	if !s.given.Empty() {
		return s.given, checkGiven(s.given)
	}
	done, err := s.take(ctx)
	if err != nil {
		return secret.String{}, err
	}
	defer done()
	if s.tokens.ID.Empty() {
		if s.tokens, err = s.load(ctx); err != nil {
			return secret.String{}, err
		}
	}
	now := s.client.now()
	usable := now.Before(s.tokens.ExpiresAt)
	switch {
	case s.tokens.fresh(now), usable && (s.tokens.Refresh.Empty() || now.Before(s.restsTo)):
		return s.tokens.ID, nil
	case !usable:
		return s.renew(ctx, secret.String{})
	}
	token, err := s.renew(ctx, secret.String{})
	var told *Error
	if err == nil || errors.As(err, &told) && told.Kind == NotSignedIn || ctx.Err() != nil {
		return token, err
	}
	// What failed is the way to the pool, or to the disk. The token still has some minutes.
	s.restsTo = now.Add(30 * time.Second)
	s.client.warn(fmt.Sprintf("could not renew the session (%v); the current token is good until %s", err, s.tokens.ExpiresAt.Local().Format("15:04:05")))
	return s.tokens.ID, nil
}

// Refresh returns a token in place of used, which the API has just refused:
// the stored one where that is another by now, else a new one.
func (s *Session) Refresh(ctx context.Context, used secret.String) (secret.String, error) {
	if !s.given.Empty() {
		return secret.String{}, s.givenRefused()
	}
	done, err := s.take(ctx)
	if err != nil {
		return secret.String{}, err
	}
	defer done()
	if !s.tokens.ID.Empty() && s.tokens.ID.Reveal() != used.Reveal() && s.tokens.fresh(s.client.now()) {
		return s.tokens.ID, nil
	}
	return s.renew(ctx, used)
}

// fresh tells whether a token need not be renewed yet: five minutes, or a tenth
// of its life, before its end it should be.
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
	return s.opened(ctx, c)
}

// errNone is behind a session that is not there.
var errNone = errors.New("no session")

func (s *Session) opened(ctx context.Context, c contents) (Tokens, error) {
	t, found, err := s.store.open(ctx, c, s.client.pool.session())
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
	var told *Error
	switch {
	case errors.As(err, &told), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errDamaged), errors.Is(err, errOtherKey):
		return &Error{Kind: NotSignedIn, Message: fmt.Sprintf("cannot open the session in %s: %v", s.store.Path(), err), Hint: s.client.login()}
	}
	return &Error{
		Kind: Config, Message: fmt.Sprintf("cannot open the session in %s: %v", s.store.Path(), err), Err: err,
		Hint: "unlock the keyring; or sign in again with villapay login --store file -e " + s.client.pool.Env,
	}
}

// renew gets new tokens under the lock, unless another process already has.
// refused is a token that the API did not take; empty where time is the reason.
func (s *Session) renew(ctx context.Context, refused secret.String) (secret.String, error) {
	name := s.client.pool.session()
	var renewed Tokens
	var got bool // new tokens, whether or not they could be saved
	err := s.store.change(ctx, func(c *contents) (bool, error) {
		stored, err := s.opened(ctx, *c)
		if err != nil {
			return false, err
		}
		if stored.ID.Reveal() != refused.Reveal() && stored.fresh(s.client.now()) {
			renewed = stored
			return false, nil
		}
		if stored.Refresh.Empty() {
			return false, s.cannotRenew(stored, refused)
		}
		renewed, err = s.client.Renew(ctx, stored)
		if err != nil {
			return s.drop(ctx, c, stored, err, &renewed)
		}
		got = true
		return true, s.store.put(context.WithoutCancel(ctx), c, name, renewed, c.Sessions[name].Plain == nil)
	})
	if err != nil && got {
		s.client.warn("the renewed session could not be saved, so the next command may have to sign in again: " + err.Error())
		err = nil
	}
	if err != nil {
		return secret.String{}, err
	}
	s.tokens = renewed
	return s.tokens.ID, nil
}

// drop takes a session that the pool has ended out of the store, but only if
// it still is the one that was sent: a writer that keeps no lock, on a network
// disk say, may have renewed it meanwhile.
func (s *Session) drop(ctx context.Context, c *contents, sent Tokens, cause error, renewed *Tokens) (bool, error) {
	var told *Error
	if !errors.As(cause, &told) || told.Kind != NotSignedIn {
		return false, cause
	}
	if again, err := s.load(ctx); err == nil && again.Refresh.Reveal() != sent.Refresh.Reveal() {
		*renewed = again
		return false, nil
	}
	delete(c.Sessions, s.client.pool.session())
	return true, cause
}

func (s *Session) cannotRenew(stored Tokens, refused secret.String) error {
	message := fmt.Sprintf("the token of %s expired at %s, and it came without a refresh token", s.client.pool.Env, stored.ExpiresAt.UTC().Format(time.RFC3339))
	if stored.ID.Reveal() == refused.Reveal() && s.client.now().Before(stored.ExpiresAt) {
		message = fmt.Sprintf("the API refused the token of %s, and it came without a refresh token", s.client.pool.Env)
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: s.client.login()}
}

// checkGiven refuses a VILLAPAY_TOKEN that cannot work. All else is the API's
// to judge: it has the better clock.
func checkGiven(token secret.String) error {
	var message string
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		message = "VILLAPAY_TOKEN is not a token: there is white space or a foreign letter in it; give the token alone, without a word in front"
	} else if told, err := parse(token.Reveal()); err == nil && told.Use == "access" {
		message = "VILLAPAY_TOKEN is an access token; the API needs the ID token"
	}
	if message == "" {
		return nil
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: GivenHint}
}

// GivenHint is what to do about a VILLAPAY_TOKEN that cannot be used.
const GivenHint = "set VILLAPAY_TOKEN to a new ID token, or unset it and run `villapay login`"

func (s *Session) givenRefused() error {
	message := "the API refused the token in VILLAPAY_TOKEN"
	if told, err := parse(s.given.Reveal()); err != nil {
		message += ": " + err.Error()
	} else if told.Expires != 0 && !s.client.now().Before(told.Expires.time()) {
		message += ": it expired at " + told.Expires.time().UTC().Format(time.RFC3339)
	}
	return &Error{Kind: NotSignedIn, Message: message, Hint: GivenHint}
}

// Save makes tokens the session of the environment. Before they are written
// unencrypted, there is a warning.
func (s *Session) Save(ctx context.Context, t Tokens) error {
	done, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.store.keep(ctx, s.client.pool.session(), t); err != nil {
		return err
	}
	s.tokens = t
	return nil
}

// SignOut ends the session at the pool and forgets it here; everywhere ends all
// sessions of the user, on every device, and forgets nothing if that fails. ID
// tokens already given out live until they expire.
func (s *Session) SignOut(ctx context.Context, everywhere bool) error {
	done, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	t, err := s.load(ctx)
	switch {
	case errors.Is(err, errNone), err != nil && everywhere, ctx.Err() != nil:
		return err
	case err != nil: // damaged, or under a key that is out of reach: forget it all the same
		s.client.warn("the session could not be ended at the pool: " + err.Error())
	case everywhere:
		if err := s.everywhere(ctx, t); err != nil {
			return err
		}
	case !t.Refresh.Empty():
		if err := s.client.Revoke(ctx, t); err != nil {
			s.client.warn("the session is forgotten here, but could not be ended at the pool: " + err.Error())
		}
	}
	s.tokens = Tokens{}
	return s.store.remove(ctx, s.client.pool.session())
}

// everywhere signs out on all devices, with a fresh access token.
func (s *Session) everywhere(ctx context.Context, t Tokens) error {
	if t.Access.Empty() {
		return &Error{Kind: Denied, Message: "this session came from --with-token and has no access token: it cannot sign out other devices", Hint: "sign in with a password first: " + s.client.login()}
	}
	access := t
	if told, err := parse(t.Access.Reveal()); err == nil && told.life() > 0 {
		access.ExpiresAt = t.ReceivedAt.Add(told.life())
	}
	if now := s.client.now(); !access.fresh(now) && !t.Refresh.Empty() {
		if _, err := s.renew(ctx, t.ID); err != nil {
			return err
		}
		t = s.tokens
	}
	return s.client.SignOutEverywhere(ctx, t)
}

// Status says who is signed in, where the tokens are, and until when.
type Status struct {
	Username   string
	Env        string
	UserPoolID string
	Store      string    // "environment" (VILLAPAY_TOKEN), "keyring" (a file sealed with its key) or "file" (plain)
	Path       string    // the file; "" for the environment
	Warning    string    // what is wrong with keeping the tokens there; "" where nothing is
	ExpiresAt  time.Time // of the ID token; zero where it does not say
	Renewable  bool      // whether it will be renewed by itself
}

// Status reads the session without renewing it. A VILLAPAY_TOKEN that
// [Session.Token] refuses is refused here too.
func (s *Session) Status(ctx context.Context) (Status, error) {
	status := Status{Env: s.client.pool.Env, UserPoolID: s.client.pool.UserPoolID}
	if !s.given.Empty() {
		if err := checkGiven(s.given); err != nil {
			return status, err
		}
		status.Store = "environment"
		if told, err := parse(s.given.Reveal()); err == nil {
			status.Username = told.username()
			status.UserPoolID = told.Issuer[strings.LastIndex(told.Issuer, "/")+1:]
			if told.Expires != 0 {
				status.ExpiresAt = told.Expires.time()
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
		status.Warning = "the tokens are in " + status.Path + " unencrypted (0600): sign in again where a keyring is unlocked to seal them"
	}
	t, err := s.opened(ctx, c)
	if err != nil {
		return Status{Env: status.Env, UserPoolID: status.UserPoolID}, err
	}
	status.Username, status.ExpiresAt, status.Renewable = t.Username, t.ExpiresAt, !t.Refresh.Empty()
	return status, nil
}
