package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sanitize"
)

// doctor checks everything a payment needs and says what to do about each.
type doctor struct{ app *app }

func newDoctor(a *app) *cobra.Command {
	c := &doctor{a}
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, sign-in, ledger, terminal and connection",
		Long: `Checks what a payment needs and says what to do about each. It makes no order. It
exits with 0, or with the code of the worst failure.`,
		Example: "  villapay doctor --env sandbox\n  villapay doctor --env sandbox -o json",
		Args:    exactArgs(), RunE: a.run(c.run),
	}
}

// check is one line of the diagnosis. Its JSON is a promise to scripts.
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

// failed makes a failing check of an error, with its own hint and exit code.
func failed(name string, err error) check {
	f := explainKind(err)
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
	if err := c.show(ctx, format, checks); err != nil {
		return err
	}
	return worst(checks)
}

// worst is the gravest failure: the first of 3, 4, 7, and anything else, in the
// order in which they stand in the way of a payment.
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

// examine goes from what everything rests on to what rests on it, and stops
// where the rest would only repeat the trouble.
func (c *doctor) examine(ctx context.Context) []check {
	settings, err := c.app.settings()
	if err != nil {
		return []check{failed("config", err), c.terminal()}
	}
	checks := []check{c.config(settings), c.environment(settings)}
	checks = append(checks, c.ledger(ctx)...)
	checks = append(checks, c.journal(), c.signIn(ctx, settings))
	checks = append(checks, c.connection(ctx, settings)...)
	return append(checks, c.terminal())
}

func (c *doctor) config(settings *config.Config) check {
	problems := slices.Clone(settings.Warnings)
	for _, name := range config.UnknownVariables(c.app.Environ()) {
		problems = append(problems, name+" is set, and no variable of villapay has that name: see `villapay help environment`")
	}
	for _, path := range settings.UnreadFiles() {
		problems = append(problems, path+" is not read: the file is config.yaml")
	}
	if len(problems) > 0 {
		return warning("config", "", "%s: %s", settings.File, strings.Join(problems, "; "))
	}
	if settings.File == "" {
		return ok("config", "no variable names a directory for config.yaml; the defaults hold")
	}
	if _, err := os.Stat(settings.File); errors.Is(err, os.ErrNotExist) {
		return ok("config", "%s does not exist; the defaults hold", settings.File)
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

func (c *doctor) ledger(ctx context.Context) []check {
	opened, err := c.app.openLedger(ctx)
	if err != nil {
		return []check{brokenLedger(err)}
	}
	if opened == nil {
		return []check{warning("ledger", "set ledger to sqlite or postgres://… where you can", "none: nothing is remembered, and two runs can make two orders")}
	}
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

// brokenLedger says what to do where others are sent to doctor.
func brokenLedger(err error) check {
	stored, ok := errors.AsType[*ledger.Error](err)
	if !ok {
		return failed("ledger", err)
	}
	hint := "check the file, and the state directory's owner, mode and free space; VILLAPAY_STATE_DIR names another"
	if strings.Contains(stored.Where, "://") {
		hint = "check that the server runs, and its address, user and password in `ledger`"
	}
	return failed("ledger", &localError{err: err, hint: hint})
}

func (c *doctor) journal() check {
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
	if err != nil {
		return failed("sign-in", err)
	}
	if status.Store == "environment" {
		return c.givenToken(status)
	}
	who := status.Username
	if who == "" {
		who = "signed in"
	}
	if status.Warning != "" {
		return warning("sign-in", "where there is a keyring, run `villapay login` again; a script can use VILLAPAY_TOKEN", "%s: %s", who, status.Warning)
	}
	if status.Renewable {
		return ok("sign-in", "%s, renewed automatically; tokens in: %s", who, status.Store)
	}
	if !c.app.Now().Before(status.ExpiresAt) {
		return check{Name: "sign-in", Status: "fail", Message: "the token has expired", Hint: hintSignIn, code: exitDenied}
	}
	return ok("sign-in", "%s, ends %s; tokens in: %s", who, render.In(c.app.Now(), status.ExpiresAt), status.Store)
}

// givenToken looks at VILLAPAY_TOKEN, which beats any sign-in.
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

// connection asks the API for a path that any API has or has not: whatever it
// answers, it is there, and its Date tells what time it is.
func (c *doctor) connection(ctx context.Context, settings *config.Config) []check {
	if settings.Profile.Sandbox {
		return []check{ok("API", "embedded, always there"), ok("clock", "the embedded API has the same")}
	}
	client, err := c.app.client(1)
	if err != nil {
		return []check{failed("API", err)}
	}
	client.Tokens, client.OnRetry = nil, nil // reaching it needs no sign-in
	ctx, cancel := context.WithTimeout(ctx, min(settings.Profile.Timeout, 10*time.Second))
	defer cancel()
	req, err := client.Request(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return []check{failed("API", err)}
	}
	start := c.app.Now()
	answer, err := client.Do(req)
	took := c.app.Now().Sub(start)
	if err != nil {
		return []check{{
			Name: "API", Status: "fail", Message: err.Error(), code: exitUnavailable,
			Hint: "check the network, HTTPS_PROXY, and base_url in `villapay env show`",
		}, warning("clock", "", "not compared: the API was not reached")}
	}
	reached := ok("API", "reachable, %d ms away", took.Milliseconds())
	if answer.Status >= 500 {
		reached = warning("API", "it may be down: try again later", "reachable, but it answers %d", answer.Status)
	}
	return []check{reached, clock(start.Add(took/2), answer.Header.Get("Date"))}
}

// maxSkew is how far this machine's clock may be off before it matters to
// tokens and countdowns.
const maxSkew = 2 * time.Minute

func clock(now time.Time, date string) check {
	server, err := http.ParseTime(date)
	if err != nil {
		return warning("clock", "", "the API does not tell its time")
	}
	skew := now.Sub(server).Round(time.Second)
	if skew.Abs() > maxSkew {
		return warning("clock", "set this machine's clock: sign-in and expiry depend on it", "%s off from the API's", skew)
	}
	return ok("clock", "within %d s of the API's", int(skew.Abs().Seconds())+1)
}

// sampleBankOrderID is as long as the ids of the bank's orders, which codes hold.
const sampleBankOrderID = "order_test_0000000000000000000000000000000000000"

func (c *doctor) terminal() check {
	screen := c.app.screen()
	if !screen.TTY {
		return ok("terminal", "none: output is piped, codes are drawn with -o qr alone")
	}
	size := fmt.Sprintf("%dx%d", screen.Columns, screen.Rows)
	var notDrawn *render.NotDrawn
	err := render.QR(io.Discard, screen, render.Code{Text: sampleBankOrderID}, "")
	switch {
	case errors.As(err, &notDrawn) && notDrawn.Reason != "":
		return warning("terminal", "use --qr-file FILE.png", "%s, no code is drawn: %s", size, notDrawn.Reason)
	case errors.As(err, &notDrawn) && !screen.UTF8:
		return warning("terminal", "use a UTF-8 locale, enlarge it, or use --qr-file FILE.png", "%s, not UTF-8: a code needs %dx%d then", size, notDrawn.NeedCols, notDrawn.NeedRows)
	case errors.As(err, &notDrawn):
		return warning("terminal", "enlarge it, or use --qr-file FILE.png", "%s: a code needs %dx%d", size, notDrawn.NeedCols, notDrawn.NeedRows)
	case !screen.Color:
		return warning("terminal", "allow colors; else --qr-style plain-invert is for light themes", "%s, without colors: a code will scan on a dark theme alone", size)
	case !screen.UTF8:
		return ok("terminal", "%s, colors, no UTF-8; a code will scan", size)
	}
	return ok("terminal", "%s, colors; a code will scan", size)
}
