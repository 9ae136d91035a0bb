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

func errNoSignIn() error {
	return usageError("to try the sign-in, see `villapay help sandbox`", "the environment sandbox needs no sign-in")
}

// currentSession returns the session of VILLAPAY_TOKEN, else the stored one, which is
// not read until a token is needed. An empty VILLAPAY_TOKEN is an error.
func (a *deps) currentSession() (*auth.Session, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	if settings.Profile.Sandbox {
		return nil, errNoSignIn()
	}
	token, err := settings.Token()
	if err != nil {
		return nil, err
	}
	if token.Empty() {
		return a.openSession()
	}
	client, err := a.signIn(settings, nil)
	if err != nil {
		return nil, err
	}
	return auth.NewSession(client, nil, token), nil // needs no state directory
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

// tokenStore returns the store of sessions and bank keys. A run opens it once, so
// that the keyring prompts once.
func (a *deps) tokenStore() (*auth.Store, error) {
	if a.store == nil {
		dir, err := a.stateDir()
		if err != nil {
			return nil, err
		}
		a.store = auth.OpenStore(dir, auth.SystemKeyring{}, a.warnText)
		if a.interactive() {
			a.store.WaitForUnlock(func() func() { return a.waiting("the keyring: unlock it in its window") })
		}
	}
	return a.store, nil
}

const kbankVariable = "VILLAPAY_KBANK_SECRET"

// bankKey returns the secret key for the bank's API of the selected environment. It
// is empty without a key or without kbank.api_url. store is "environment"
// (VILLAPAY_KBANK_SECRET), "keyring" or "file", even if the key is invalid.
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
	if err != nil {
		return secret.String{}, "", nil //nolint:nilerr // no state directory, so no stored key
	}
	profile := settings.Profile
	key, store, err = tokens.BankKey(ctx, profile.KBank.APIURL)
	if err != nil || store == "" {
		return secret.String{}, store, err
	}
	if err := profile.CheckSecretKey(key); err != nil { // live has changed since login
		return secret.String{}, store, &localError{err: fmt.Errorf("the stored key for %s: %w", profile.KBank.APIURL, err), hint: "run `villapay login --kbank-secret -e " + profile.Name + "`"}
	}
	return key, store, nil
}

// bankAPI returns the kbank.api_url that a key is stored for.
func bankAPI(profile config.Profile) (string, error) {
	if profile.Sandbox {
		return "", usageError("", "the environment sandbox needs no key for the bank")
	}
	if profile.KBank.APIURL == "" {
		return "", &localError{
			err:  errors.New("environment " + profile.Name + " has no kbank.api_url"),
			hint: "run `villapay env set kbank.api_url URL --env " + profile.Name + "`",
		}
	}
	return profile.KBank.APIURL, nil
}

// warnText writes a warning that may have several lines.
func (a *deps) warnText(text string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	a.warn("%s", first)
	for line := range strings.Lines(rest) {
		fmt.Fprintln(a.Err, sanitize.Text(strings.TrimRight(line, "\n")))
	}
}

// signIn returns a client for the selected environment's user pool. Its bodies hold
// passwords and tokens, so --debug does not show them.
func (a *deps) signIn(settings *config.Config, prompt auth.Prompter) (*auth.Client, error) {
	transport, err := api.NewTransport(1)
	if err != nil {
		return nil, &localError{err: err}
	}
	notice := &waitNoticeTransport{next: transport, streams: a.streams, server: "the sign-in"}
	p := settings.Profile
	client := auth.NewClient(auth.UserPool{
		Env: p.Name, Region: p.Auth.Region, UserPoolID: p.Auth.UserPoolID, ClientID: p.Auth.ClientID,
		ClientSecret: secret.New(a.Getenv("VILLAPAY_CLIENT_SECRET")),
		Domain:       p.Auth.Domain, Endpoint: p.Auth.Endpoint, CallbackPorts: p.Auth.CallbackPorts,
	}, notice, a.Now, prompt, a.warnText)
	if a.debugging() {
		notice.next = &debugTransport{next: transport, to: a.Err, redact: client.Redact}
	}
	return client, nil
}

// prompter returns a prompt at the terminal, nil if the user cannot be asked.
func (a *app) prompter() (auth.Prompter, error) {
	if !a.interactive() {
		return nil, nil //nolint:nilnil // documented
	}
	terminal, err := auth.OpenTerminal()
	if err != nil {
		return nil, &localError{err: err}
	}
	return terminal, nil
}

// poolKey is a setting that signing in requires.
type poolKey struct{ name, value, label, example string }

// missingPool returns the settings that are not set. Their values come from Villa.
func missingPool(profile config.Profile) []poolKey {
	return slices.DeleteFunc([]poolKey{
		{"auth.user_pool_id", profile.Auth.UserPoolID, "User pool ID, such as " + profile.Auth.Region + "_XXXXXXXXX", profile.Auth.Region + "_XXXXXXXXX"},
		{"auth.client_id", profile.Auth.ClientID, "App client ID", "CLIENT_ID"},
	}, func(k poolKey) bool { return k.value != "" })
}

const trySandbox = "to try villapay without them: villapay pay qr 492500004632 --env sandbox"

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

// signInHint extends the hint if the environment has no user pool yet. The embedded
// sandbox has none at all: there an order ID plays the rejected token.
func (a *app) signInHint(err error, hint string) string {
	if a.config == nil {
		return hint
	}
	if a.config.Profile.Sandbox && strings.HasPrefix(hint, a.inEnv(hintSignIn)) {
		return "the order ID plays a rejected token, and the sandbox has no sign-in: run it again; if that fails, use another order ID"
	}
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || hint == "" || e.Kind != auth.NotSignedIn || a.Getenv("VILLAPAY_TOKEN") != "" || len(missingPool(a.config.Profile)) == 0 {
		return hint
	}
	return "ask Villa for the user pool ID and the app client ID of " + a.config.Profile.Name + ", then " + hint + "; " + trySandbox
}

// readSecretLine reads a secret from stdin. A terminal is rejected: it would echo
// the secret.
func (a *app) readSecretLine(ctx context.Context, flag string) (secret.String, error) {
	if a.InTTY {
		return secret.String{}, usageError("run `villapay login "+flag+" < FILE`", "%s reads from stdin, and stdin is a terminal", flag)
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
