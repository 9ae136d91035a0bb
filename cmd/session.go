package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/secret"
)

// errNoSignIn is the error of signing in to the embedded sandbox.
func errNoSignIn() error {
	return usageError("its sign-in is served by `villapay sandbox serve`: see `villapay help sandbox`", "the environment sandbox needs no sign-in")
}

// session is the selected environment's sign-in. Nothing is read or asked until a
// token is needed.
func (a *deps) session() (api.Tokens, error) {
	session, err := a.currentSession()
	if err != nil {
		return nil, err // not a nil *auth.Session, which would be an api.Tokens
	}
	return session, nil
}

// currentSession is the session of VILLAPAY_TOKEN or of an earlier sign-in. A
// token that is set and empty is an error.
func (a *deps) currentSession() (*auth.Session, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	token, err := settings.Token()
	switch {
	case settings.Profile.Sandbox, err == nil && token.Empty():
		return a.openSession()
	case err != nil:
		return nil, err
	}
	client, err := a.signIn(settings, nil)
	if err != nil {
		return nil, err
	}
	return auth.NewSession(client, nil, token), nil // which needs no state directory
}

func (a *deps) openSession() (*auth.Session, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	if settings.Profile.Sandbox {
		return nil, errNoSignIn()
	}
	token, _ := settings.Token()
	if token.Empty() {
		if err := settings.Require("auth"); err != nil {
			return nil, err
		}
	}
	client, err := a.signIn(settings, nil)
	if err != nil {
		return nil, err
	}
	store, err := a.tokenStore()
	if err != nil {
		return nil, err
	}
	return auth.NewSession(client, store, token), nil
}

// tokenStore is the file of sessions and bank keys. It is one for a run, so that
// the keyring is asked once.
func (a *deps) tokenStore() (*auth.Store, error) {
	if a.store == nil {
		dir, err := a.stateDir()
		if err != nil {
			return nil, err
		}
		a.store = auth.OpenStore(dir, auth.SystemKeyring{}, a.warnText)
	}
	return a.store, nil
}

const kbankVariable = "VILLAPAY_KBANK_SECRET"

// bankKey is the merchant's secret key for the bank's API of the selected
// environment. It is empty if there is none, or if the bank is not asked there.
// store is "environment" (VILLAPAY_KBANK_SECRET), "keyring" or "file"; it is known
// also if the key cannot be used.
func (a *deps) bankKey(ctx context.Context) (key secret.String, store string, err error) {
	settings, err := a.settings()
	if err != nil || settings.Profile.KBank.APIURL == "" {
		return secret.String{}, "", err
	}
	if _, set := a.LookupEnv(kbankVariable); set {
		key, err = settings.KBankSecret()
		return key, "environment", err
	}
	tokens, err := a.tokenStore()
	if err != nil { // without a directory nothing was ever stored
		return secret.String{}, "", nil //nolint:nilerr // as the comment says
	}
	profile := settings.Profile
	key, store, err = tokens.BankKey(ctx, profile.KBank.APIURL)
	if err != nil || store == "" {
		return secret.String{}, store, err
	}
	if err := profile.CheckSecretKey(key); err != nil { // live was changed since it was entered
		return secret.String{}, store, &localError{err: fmt.Errorf("the key kept for %s: %w", profile.KBank.APIURL, err), hint: "run `villapay login --kbank-secret -e " + profile.Name + "`"}
	}
	return key, store, nil
}

// bankAPI is the URL that a bank key is entered for.
func bankAPI(profile config.Profile) (string, error) {
	if profile.Sandbox {
		return "", usageError("", "the environment sandbox has a bank of its own, which needs no key")
	}
	if profile.KBank.APIURL == "" {
		return "", &localError{
			err:  errors.New("environment " + profile.Name + " has no kbank.api_url: there is no bank to use a key with"),
			hint: "villapay env set kbank.api_url URL --env " + profile.Name,
		}
	}
	return profile.KBank.APIURL, nil
}

// warnText shows a warning of the sign-in, which may have several lines.
func (a *deps) warnText(text string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	a.warn("%s", first)
	for line := range strings.Lines(rest) {
		fmt.Fprintln(a.Err, sanitize.Text(strings.TrimRight(line, "\n")))
	}
}

// signIn makes the client of the selected environment's user pool.
func (a *deps) signIn(settings *config.Config, prompt auth.Prompter) (*auth.Client, error) {
	transport, err := a.signInTransport()
	if err != nil {
		return nil, err
	}
	p := settings.Profile
	return auth.NewClient(auth.UserPool{
		Env: p.Name, Region: p.Auth.Region, UserPoolID: p.Auth.UserPoolID, ClientID: p.Auth.ClientID,
		ClientSecret: secret.New(a.Getenv("VILLAPAY_CLIENT_SECRET")),
		Domain:       p.Auth.Domain, Endpoint: p.Auth.Endpoint, CallbackPorts: p.Auth.CallbackPorts,
	}, transport, a.Now, prompt, a.warnText), nil
}

// prompter asks at the terminal. It is nil if there is none, or asking is not
// allowed.
func (a *app) prompter() (auth.Prompter, error) {
	if !a.interactive() {
		return nil, nil //nolint:nilnil // nobody to ask is no error
	}
	terminal, err := auth.OpenTerminal()
	if err != nil {
		return nil, &localError{err: err}
	}
	return terminal, nil
}

// poolKey is a setting without which there is nowhere to sign in.
type poolKey struct{ name, value, label, example string }

// missingPool returns those that an environment does not have. They come from Villa.
func missingPool(profile config.Profile) []poolKey {
	return slices.DeleteFunc([]poolKey{
		{"auth.user_pool_id", profile.Auth.UserPoolID, "User pool ID, such as " + profile.Auth.Region + "_XXXXXXXXX", profile.Auth.Region + "_XXXXXXXXX"},
		{"auth.client_id", profile.Auth.ClientID, "App client ID", "CLIENT_ID"},
	}, func(k poolKey) bool { return k.value != "" })
}

// trySandbox is what can be done before Villa has given anything.
const trySandbox = "to try villapay without them: villapay pay qr 492500004632 --env sandbox"

// noPool is the error of an environment without a user pool.
func noPool(profile config.Profile, missing []poolKey) error {
	var names, commands []string
	for _, k := range missing {
		names = append(names, k.name)
		commands = append(commands, "villapay env set "+k.name+" "+k.example+" --env "+profile.Name)
	}
	return &localError{
		err:  fmt.Errorf("environment %s has no user pool to sign in to: ask Villa for its IDs and set %s", profile.Name, strings.Join(names, " and ")),
		hint: strings.Join(commands, "; ") + "; " + trySandbox,
	}
}

// signInHint is what to do about an error of the sign-in. On a fresh install there is
// nowhere to sign in yet.
func (a *app) signInHint(err error, hint string) string {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Kind != auth.NotSignedIn || a.config == nil || a.Getenv("VILLAPAY_TOKEN") != "" || len(missingPool(a.config.Profile)) == 0 {
		return hint
	}
	return "ask Villa for the user pool ID and the app client ID of " + a.config.Profile.Name + ", then " + hint + "; " + trySandbox
}

// readSecretLine reads a secret from stdin, without its line break. It is never
// typed there, where it would show.
func (a *app) readSecretLine(ctx context.Context, flag string) (secret.String, error) {
	if a.InTTY {
		return secret.String{}, usageError("pipe it: villapay login "+flag+" < file", "%s reads from stdin, and stdin is a terminal", flag)
	}
	line, err := readLimited(ctxReader(ctx, a.In))
	switch {
	case ctx.Err() != nil:
		return secret.String{}, ctx.Err()
	case err != nil:
		return secret.String{}, usageError("", "%s: %s", flag, err)
	case line == "":
		return secret.String{}, usageError("", "%s: stdin is empty", flag)
	}
	return secret.New(line), nil
}
