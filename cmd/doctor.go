package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

type doctor struct{ app *app }

func newDoctor(a *app) *cobra.Command {
	c := &doctor{a}
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, sign-in, ledger, API, bank and terminal",
		Long: `Checks what a payment needs and says what to do about each. It asks the API and,
if there is a key for it, the bank what became of an order that cannot exist; it
makes none. It exits with 0, or with the code of the worst failure.`,
		Example: "  villapay doctor --env sandbox\n  villapay doctor --env sandbox -o json",
		Args:    exactArgs(), RunE: a.run(c.run),
	}
}

// check is the result of one check. Its JSON is stable.
type check struct {
	Name    string `json:"name"`
	Status  string `json:"status"` // ok, warn or fail
	Message string `json:"message"`
	Hint    string `json:"hint"`

	code int // the exit code of a failure
}

func ok(name, format string, args ...any) check {
	return check{Name: name, Status: "ok", Message: fmt.Sprintf(format, args...)}
}

func warning(name, hint, format string, args ...any) check {
	return check{Name: name, Status: "warn", Message: fmt.Sprintf(format, args...), Hint: hint}
}

// failed turns an error into a failed check.
func failed(name string, err error) check {
	f := failureOf(err)
	return check{Name: name, Status: "fail", Message: f.Error(), Hint: f.Hint, code: f.ExitCode}
}

func (c *doctor) run(ctx context.Context, _ []string) error {
	format, err := c.app.formatOrDefault("table", "json", "yaml")
	if err != nil {
		return err
	}
	checks := c.examine(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range checks {
		checks[i].Hint = c.app.inEnv(checks[i].Hint)
	}
	if err := c.show(ctx, format, checks); err != nil {
		return err
	}
	return worst(checks)
}

// worst returns the most severe failure: exit code 3, then 4, then 7, then others.
func worst(checks []check) error {
	for _, codes := range [][]int{{exitConfig}, {exitDenied}, {exitUnavailable}, {exitInternal, exitRejected, exitUnknown}} {
		for _, c := range checks {
			if slices.Contains(codes, c.code) {
				return &failure{Code: "check_failed", Message: c.Name + ": " + c.Message, Hint: c.Hint, ExitCode: c.code, quiet: true}
			}
		}
	}
	return nil
}

func (c *doctor) show(ctx context.Context, format config.Format, checks []check) error {
	if format != "table" {
		return c.app.writeValue(ctx, format, checks)
	}
	rows := make([][]string, 0, len(checks))
	for _, k := range checks {
		text := sanitize.Text(k.Message)
		if k.Hint != "" {
			text += "\nhint: " + sanitize.Text(k.Hint)
		}
		rows = append(rows, []string{k.Status, k.Name, text})
	}
	return render.Table(c.app.writer(), c.app.screen(), nil, rows)
}

// examine runs the checks in order of dependency. It stops if all later checks would
// fail for the same reason.
func (c *doctor) examine(ctx context.Context) []check {
	settings, err := c.app.settings()
	if err != nil {
		checks := []check{failed("config", err)}
		if unknown := c.unknownVariables(); unknown != nil {
			checks = append(checks, warning("config", "", "%s", strings.Join(unknown, "; ")))
		}
		return append(checks, c.terminal(false))
	}
	checks := []check{c.config(settings), c.environment(settings)}
	checks = append(checks, c.ledger(ctx, settings)...)
	signIn := c.signIn(ctx, settings)
	checks = append(checks, c.log(), signIn)
	checks = append(checks, c.api(ctx, settings, signIn)...)
	bank, draws := c.bank(ctx, settings)
	checks = append(checks, bank)
	if merchants, ok := c.merchants(ctx, settings); ok {
		checks = append(checks, merchants)
	}
	return append(checks, c.terminal(draws))
}

func (c *doctor) unknownVariables() (problems []string) {
	for _, name := range config.UnknownVariables(c.app.Environ()) {
		problems = append(problems, name+" is not a variable that villapay reads: see `villapay help environment`")
	}
	return problems
}

func (c *doctor) config(settings *config.Config) check {
	problems := slices.Concat(settings.Warnings, c.unknownVariables())
	for _, path := range settings.UnreadFiles() {
		problems = append(problems, path+" is not read: the file is config.yaml")
	}
	if len(problems) > 0 {
		return warning("config", "", "%s", strings.Join(problems, "; "))
	}
	if settings.File == "" {
		return ok("config", "no variable names a directory for config.yaml; the defaults apply")
	}
	if _, err := os.Stat(settings.File); errors.Is(err, os.ErrNotExist) {
		return ok("config", "%s does not exist; the defaults apply", settings.File)
	}
	return ok("config", "%s", settings.File)
}

func (c *doctor) environment(settings *config.Config) check {
	p := settings.Profile
	where := p.BaseURL
	if p.Sandbox {
		where = "embedded, no network"
	}
	if p.Live {
		return ok("environment", "%s (LIVE: real money): %s", p.Name, where)
	}
	return ok("environment", "%s: %s", p.Name, where)
}

func (c *doctor) ledger(ctx context.Context, settings *config.Config) []check {
	opened, err := c.app.openLedger(ctx)
	if err != nil {
		return []check{brokenLedger(err)}
	}
	if opened.Kind() == "none" {
		return []check{warning("ledger", "set VILLAPAY_LEDGER to sqlite or postgres://… where you can", "none: nothing is recorded, and two runs can make two orders")}
	}
	ctx, cancel := context.WithTimeout(ctx, settings.Profile.Timeout)
	defer cancel()
	health, err := opened.Check(ctx)
	if err != nil {
		return []check{brokenLedger(err)}
	}
	if health.Integrity != "ok" {
		damaged := fmt.Errorf("%s is damaged: %s", opened.Where(), health.Integrity)
		return []check{failed("ledger", &localError{err: damaged, hint: "make no payments; restore a backup, and keep the damaged file"})}
	}
	return []check{ok("ledger", "%s: writable, intact, payments: %d, %.1f MB", opened.Where(), health.Payments, float64(health.SizeBytes)/1e6)}
}

// brokenLedger replaces the hint of ledger errors, which would be to run doctor.
func brokenLedger(err error) check {
	stored, ok := errors.AsType[*ledger.Error](err)
	if !ok {
		return failed("ledger", err)
	}
	hint := "check the file, and the state directory's owner, mode and free space; VILLAPAY_STATE_DIR names another"
	switch server := strings.Contains(stored.Where, "://"); {
	case server && stored.OutOfTime():
		hint = "use a longer --timeout, or check that the server runs, and its address in `ledger`"
	case server:
		hint = "check that the server runs, and its address, user and password in `ledger`"
	case stored.OutOfTime():
		hint = "use a longer --timeout"
	}
	return failed("ledger", &localError{err: err, hint: hint})
}

func (c *doctor) log() check {
	c.app.log()
	if c.app.applog == nil {
		return warning("log", "set VILLAPAY_STATE_DIR", "there is no state directory to keep it in")
	}
	if err := c.app.applog.Check(); err != nil {
		return warning("log", "payments go on without a log", "%s", err)
	}
	return ok("log", "%s", c.app.applog.Path())
}

func (c *doctor) signIn(ctx context.Context, settings *config.Config) check {
	if settings.Profile.Sandbox {
		return ok("sign-in", "not needed")
	}
	session, err := c.app.currentSession()
	if err != nil {
		return failed("sign-in", err)
	}
	status, err := session.Status(ctx)
	if err == nil && status.Store == "environment" {
		return c.givenToken(status)
	}
	if err == nil {
		_, err = session.Token(ctx) // renewed, if its time is up
	}
	if err != nil {
		k := failed("sign-in", err)
		k.Hint = c.app.signInHint(err, k.Hint)
		return k
	}
	who := cmp.Or(status.Username, "signed in")
	if status.Warning != "" {
		return warning("sign-in", "where there is a keyring, run `villapay login` again; a script can use VILLAPAY_TOKEN", "%s: %s", who, status.Warning)
	}
	if status.Renewable {
		return ok("sign-in", "%s, renewed automatically; tokens in: %s", who, status.Store)
	}
	return ok("sign-in", "%s, ends %s; tokens in: %s", who, render.In(c.app.Now(), status.ExpiresAt), status.Store)
}

// givenToken checks VILLAPAY_TOKEN, which overrides any sign-in.
func (c *doctor) givenToken(status auth.Status) check {
	text := "VILLAPAY_TOKEN"
	if status.Username != "" {
		text += " of " + status.Username
	}
	switch {
	case status.ExpiresAt.IsZero():
		return ok("sign-in", "%s; it does not say until when", text)
	case !c.app.Now().Before(status.ExpiresAt):
		return check{Name: "sign-in", Status: "fail", Message: "the token in VILLAPAY_TOKEN has expired", Hint: auth.EnvHint, code: exitDenied}
	}
	return ok("sign-in", "%s, ends %s", text, render.In(c.app.Now(), status.ExpiresAt))
}

// Typical contents of codes: the ID of a bank order, and a payment code of the bank.
const (
	sampleBankOrderID   = "order_test_0000000000000000000000000000000000000"
	samplePayloadLength = 120 // characters
)

func (c *doctor) terminal(bankDraws bool) check {
	const name = "terminal"
	screen := c.app.screen()
	if !screen.TTY {
		return ok(name, "none: output is piped, so only -o qr draws a code")
	}
	text := sampleBankOrderID
	if bankDraws {
		text = strings.Repeat("0", samplePayloadLength)
	}
	size := fmt.Sprintf("%dx%d", screen.Columns, screen.Rows)
	var notDrawn *render.NotDrawn
	err := render.QR(io.Discard, screen, render.Code{Text: text}, "")
	switch {
	case errors.As(err, &notDrawn) && notDrawn.Reason != "":
		return warning(name, "add --qr-file FILE.png to `villapay pay qr`", "%s, no code is drawn: %s", size, notDrawn.Reason)
	case errors.As(err, &notDrawn) && !screen.UTF8:
		return warning(name, "use a UTF-8 locale, make the window larger, or add --qr-file FILE.png to `villapay pay qr`", "%s, not UTF-8: a code needs %dx%d then", size, notDrawn.NeedCols, notDrawn.NeedRows)
	case errors.As(err, &notDrawn):
		return warning(name, "make the window larger, or add --qr-file FILE.png to `villapay pay qr`", "%s: a code needs %dx%d", size, notDrawn.NeedCols, notDrawn.NeedRows)
	case !screen.Color:
		return warning(name, "allow colors; on a light theme add --qr-style plain-invert", "%s, without colors: a code will scan only on a dark theme", size)
	case !screen.UTF8:
		return ok(name, "%s, colors, no UTF-8; a code will scan", size)
	}
	return ok(name, "%s, colors; a code will scan", size)
}
