package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/secret"
)

type login struct {
	app           *app
	web           bool
	noBrowser     bool
	withToken     bool
	passwordStdin bool
	kbankSecret   bool
	username      string
	store         auth.Mode
}

func newLogin(a *app) *cobra.Command {
	c := &login{app: a}
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in to the selected environment",
		Long: `Signs in to the environment's Cognito user pool and stores the session, which is
renewed automatically until it ends. At a terminal it asks for the user name,
password and codes; --web signs in with a browser instead. A script can set
VILLAPAY_USERNAME and VILLAPAY_PASSWORD, or pipe an ID token to --with-token.
With VILLAPAY_TOKEN no login is needed.

--kbank-secret stores the merchant's secret key for the bank's API instead. It is
entered at a terminal or read from stdin, and used only for the kbank.api_url
that is set now. It needs no sign-in. VILLAPAY_KBANK_SECRET overrides it. With
the key, pay qr shows a code that bank apps pay, order status asks the bank, and
order cancel and order void work.

Tokens and keys are stored in one encrypted file, and its key in the system's
keyring. Without a keyring, a warning is shown and the file is not encrypted;
only you can read it.`,
		Example: `  villapay login --env dev
  villapay login --env dev --web
  villapay login --env dev --with-token < id-token.txt
  villapay login --env dev --kbank-secret < kbank.key`,
		Args: noSecretArgs, RunE: a.change(c.run, a.identity),
	}
	f := cmd.Flags()
	f.BoolVar(&c.web, "web", false, "sign in with a browser")
	f.BoolVar(&c.noBrowser, "no-browser", false, "with --web: print the address to open, and ask for the one the browser ends at")
	f.BoolVar(&c.withToken, "with-token", false, "store the ID token read from stdin")
	f.BoolVar(&c.passwordStdin, "password-stdin", false, "read the password from stdin")
	f.BoolVar(&c.kbankSecret, "kbank-secret", false, "store the bank's secret key, from a prompt or stdin")
	f.StringVarP(&c.username, "username", "u", "", "user `NAME` (default: VILLAPAY_USERNAME, or asked)")
	addChoice(cmd, &c.store, "store", "where tokens and keys are stored", "auto", "keyring", "file")
	return cmd
}

// noSecretArgs takes no arguments, and does not repeat them: one may be a password.
func noSecretArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("usage: "+cmd.UseLine(), "login takes no argument: it reads secrets from a prompt, stdin or a variable")
	}
	return nil
}

func (c *login) run(ctx context.Context, _ []string) error {
	if err := c.check(); err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	if c.kbankSecret {
		return c.saveBankKey(ctx, settings.Profile)
	}
	if settings.Profile.Sandbox {
		return errNoSignIn()
	}
	if err := settings.Require("auth"); err != nil {
		return err
	}
	if settings, err = c.completePool(ctx, settings); err != nil {
		return err
	}
	session, err := c.app.openSession()
	if err != nil {
		return err
	}
	tokens, err := c.signIn(ctx, settings)
	if err != nil {
		return err
	}
	if err := session.Save(ctx, tokens, c.store); err != nil {
		return err
	}
	c.app.note("signed in to %s as %s", settings.Profile.Name, tokens.Username)
	if c.app.Getenv("VILLAPAY_TOKEN") != "" {
		c.app.warn("VILLAPAY_TOKEN is set and is used instead of this sign-in")
	}
	return nil
}

func (c *login) check() error {
	ways := 0
	for _, on := range []bool{c.web, c.withToken, c.passwordStdin, c.kbankSecret} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return usageError("", "use only one of --web, --with-token, --password-stdin and --kbank-secret")
	case c.kbankSecret && c.username != "":
		return usageError("", "--username cannot be used with --kbank-secret")
	case c.noBrowser && !c.web:
		return usageError("add --web", "--no-browser works only with --web")
	}
	return nil
}

// completePool asks for missing IDs of the user pool and saves them.
func (c *login) completePool(ctx context.Context, settings *config.Config) (*config.Config, error) {
	profile := settings.Profile
	missing := missingPool(profile)
	if len(missing) == 0 {
		return settings, nil
	}
	prompt, err := c.app.prompter()
	if err != nil {
		return nil, err
	}
	if prompt == nil {
		return nil, noPool(profile, missing)
	}
	prompt.Note("Environment " + profile.Name + " has no user pool to sign in to yet. Its IDs come from Villa;\n" + trySandbox)
	var all [][2]string
	for _, k := range missing {
		pairs, err := askPool(ctx, prompt, profile, k)
		if err != nil {
			return nil, err
		}
		all = append(all, pairs...)
	}
	if err := config.SetAll(ctx, c.app.LookupEnv, profile.Name, all...); err != nil {
		return nil, err
	}
	c.app.note("saved in %s", settings.File)
	// Another process may have selected another environment meanwhile.
	c.app.config, c.app.flags.env = nil, profile.Name
	return c.app.settings()
}

// askPool asks for an ID until the answer is valid. It returns keys and values.
func askPool(ctx context.Context, prompt auth.Prompter, profile config.Profile, k poolKey) ([][2]string, error) {
	for {
		answer, err := prompt.Line(ctx, k.label+": ")
		if err != nil {
			return nil, err
		}
		pairs, err := poolPairs(profile, k.name, strings.TrimSpace(answer))
		if err == nil {
			return pairs, nil
		}
		prompt.Note(err.Error() + "; Ctrl-C ends")
	}
}

// poolPairs returns an ID, and the region if the ID says another one.
func poolPairs(profile config.Profile, name, answer string) ([][2]string, error) {
	if answer == "" {
		return nil, errors.New(name + " is empty: ask Villa for it")
	}
	value, err := config.Check(name, answer)
	pairs := [][2]string{{name, value}}
	if err != nil || name != "auth.user_pool_id" {
		return pairs, err
	}
	region, _, _ := strings.Cut(value, "_")
	valid := regexp.MustCompile(`^[a-z0-9-]+_[A-Za-z0-9]+$`).MatchString(value)
	emulated := profile.Auth.Endpoint != "" // its region can have any name
	if valid && !emulated {
		_, err = config.Check("auth.region", region)
	}
	if !valid || err != nil {
		return nil, fmt.Errorf("%q is not a user pool ID such as %s_XXXXXXXXX", value, profile.Auth.Region)
	}
	if !emulated && region != profile.Auth.Region {
		pairs = append(pairs, [2]string{"auth.region", region})
	}
	return pairs, nil
}

func (c *login) saveBankKey(ctx context.Context, profile config.Profile) error {
	url, err := bankAPI(profile)
	if err != nil {
		return err
	}
	text, err := c.readBankKey(ctx)
	if err != nil {
		return err
	}
	key, err := config.ParseSecretKey(text.Reveal())
	if err != nil {
		return usageError("", "%s", err)
	}
	if err := profile.CheckSecretKey(key); err != nil {
		return &localError{err: err, hint: "enter the secret key of environment " + profile.Name + ", or select another with -e"}
	}
	store, err := c.app.tokenStore()
	if err != nil {
		return err
	}
	if err := store.SaveBankKey(ctx, url, key, c.store); err != nil {
		return err
	}
	c.app.note("stored the bank's secret key for %s", url)
	if c.app.Getenv(kbankVariable) != "" {
		c.app.warn("%s is set and is used instead of this key", kbankVariable)
	}
	return nil
}

func (c *login) readBankKey(ctx context.Context) (secret.String, error) {
	if !c.app.InTTY {
		return c.app.readSecretLine(ctx, "--kbank-secret")
	}
	prompt, err := c.app.prompter()
	if err != nil {
		return secret.String{}, err
	}
	if prompt == nil {
		return secret.String{}, usageError("run `villapay login --kbank-secret < FILE`", "%s", c.app.whyNotAsk("for the key"))
	}
	return prompt.Secret(ctx, "The bank's secret key (hidden): ")
}

func (c *login) signIn(ctx context.Context, settings *config.Config) (auth.Tokens, error) {
	prompt, err := c.app.prompter()
	if err != nil {
		return auth.Tokens{}, err
	}
	client, err := c.app.signIn(settings, prompt)
	if err != nil {
		return auth.Tokens{}, err
	}
	switch {
	case c.withToken:
		token, err := c.app.readSecretLine(ctx, "--with-token")
		if err != nil {
			return auth.Tokens{}, err
		}
		return client.Accept(ctx, token)
	case c.web:
		return c.browse(ctx, client, prompt)
	}
	username, password, err := c.credentials(ctx, prompt)
	if err != nil {
		return auth.Tokens{}, err
	}
	return client.Password(ctx, username, password)
}

// credentials come from flags and variables, else from a prompt.
func (c *login) credentials(ctx context.Context, prompt auth.Prompter) (username string, password secret.String, err error) {
	username = cmp.Or(c.username, c.app.Getenv("VILLAPAY_USERNAME"))
	if c.passwordStdin {
		if password, err = c.app.readSecretLine(ctx, "--password-stdin"); err != nil {
			return "", password, err
		}
	} else {
		password = secret.New(c.app.Getenv("VILLAPAY_PASSWORD"))
	}
	if prompt == nil && (username == "" || password.Empty()) {
		return "", password, &failure{
			Code: "not_interactive", Message: c.app.whyNotAsk("for the user name and password"),
			Hint: "set VILLAPAY_USERNAME and VILLAPAY_PASSWORD, or use --with-token or VILLAPAY_TOKEN", ExitCode: exitDenied,
		}
	}
	if username == "" {
		if username, err = prompt.Line(ctx, "User name: "); err != nil {
			return "", password, err
		}
	}
	if username = strings.TrimSpace(username); username == "" {
		return "", password, usageError("", "the user name is empty")
	}
	if password.Empty() {
		password, err = prompt.Secret(ctx, "Password (hidden): ")
	}
	return username, password, err
}

// browse signs in with a browser, on this machine or another.
func (c *login) browse(ctx context.Context, client *auth.Client, prompt auth.Prompter) (auth.Tokens, error) {
	if c.noBrowser {
		return client.Browser(ctx, nil, func(ctx context.Context) (string, error) {
			if prompt == nil {
				line, err := c.app.readSecretLine(ctx, "--no-browser")
				return line.Reveal(), err
			}
			return prompt.Line(ctx, "Final address from the browser: ")
		})
	}
	return client.Browser(ctx, func(url string) error {
		fmt.Fprintf(c.app.Err, "Sign in with the browser. If none opens, open this address:\n\n  %s\n\n", url)
		return openBrowser(ctx, url)
	}, nil)
}

// maxSecret is the size limit of a secret, in bytes.
const maxSecret = 64 << 10

// readLimited reads a secret, without its line break.
func readLimited(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", errors.New("it is larger than 64 KiB")
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
