package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/secret"
)

// errNoSignIn says that the embedded sandbox has nobody to sign in to.
func errNoSignIn() error {
	return usageError("its sign-in is served by `villapay sandbox serve`: see `villapay help sandbox`", "the environment sandbox needs no sign-in")
}

// session is the selected environment's sign-in. Nothing is read, asked or
// locked until a token is needed.
func (a *app) session() (api.Tokens, error) {
	session, err := a.openSession(auth.Auto)
	if err != nil {
		return nil, err
	}
	return session, nil
}

func (a *app) openSession(mode auth.Mode) (*auth.Session, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	client, err := a.signIn(settings, nil)
	if err != nil {
		return nil, err
	}
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	store := auth.OpenStore(dir, mode, auth.SystemKeyring{}, a.warnText)
	return auth.NewSession(client, store, secret.New(a.Getenv("VILLAPAY_TOKEN"))), nil
}

// warnText shows a warning of the sign-in, which may have several lines.
func (a *app) warnText(text string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	a.warn("%s", first)
	for line := range strings.Lines(rest) {
		fmt.Fprintln(a.Err, sanitize.Text(strings.TrimRight(line, "\n")))
	}
}

// signIn makes the client of the selected environment's user pool.
func (a *app) signIn(settings *config.Config, prompt auth.Prompter) (*auth.Client, error) {
	transport, err := a.signInTransport()
	if err != nil {
		return nil, err
	}
	p := settings.Profile
	return auth.NewClient(auth.Pool{
		Env: p.Name, Region: p.Auth.Region, UserPoolID: p.Auth.UserPoolID, ClientID: p.Auth.ClientID,
		ClientSecret: secret.New(a.Getenv("VILLAPAY_CLIENT_SECRET")),
		Domain:       p.Auth.Domain, Endpoint: p.Auth.Endpoint, CallbackPorts: p.Auth.CallbackPorts,
	}, transport, a.Now, prompt, a.warnText), nil
}

// prompter asks at the terminal, where there is one and asking is allowed; nil
// otherwise.
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

// needsPool refuses to sign in where the environment does not say at which pool,
// and shows how to tell it.
func needsPool(profile config.Profile) error {
	var missing, lines string
	for _, key := range []struct{ name, value, example string }{
		{"auth.user_pool_id", profile.Auth.UserPoolID, profile.Auth.Region + "_XXXXXXXXX"},
		{"auth.client_id", profile.Auth.ClientID, "CLIENT_ID"},
	} {
		if key.value != "" {
			continue
		}
		if missing != "" {
			missing, lines = missing+" and ", lines+"; "
		}
		missing += key.name
		lines += "villapay env set " + key.name + " " + key.example + " --env " + profile.Name
	}
	if missing == "" {
		return nil
	}
	return &localError{err: errors.New("environment " + profile.Name + " does not know its user pool: set " + missing), hint: lines}
}

// readSecretLine reads a secret from stdin, without its line break.
func (a *app) readSecretLine(ctx context.Context, flag string) (secret.String, error) {
	if a.InTTY {
		return secret.String{}, usageError("pipe it: villapay login "+flag+" < file", "%s reads from stdin, and stdin is a terminal", flag)
	}
	line, err := readLimited(obedient(ctx, a.In))
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
