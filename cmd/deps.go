package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/applog"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sandbox"
)

// deps holds what commands share. Each is nil until a command first needs it.
type deps struct {
	*streams
	config  *config.Config
	ledger  *ledger.Ledger
	sandbox *sandbox.Sandbox
	applog  *applog.Log
	store   *auth.Store

	draws func(order.Source) bool // what bankDraws has found out; nil before
}

// close closes what was opened.
func (a *deps) close() error {
	var all []error
	if a.ledger != nil {
		all = append(all, a.ledger.Close())
	}
	if a.sandbox != nil {
		all = append(all, a.sandbox.Close())
	}
	if a.applog != nil {
		all = append(all, a.applog.Close())
	}
	return errors.Join(all...)
}

// settings loads the configuration once.
func (a *deps) settings() (*config.Config, error) {
	if a.config == nil {
		loaded, err := config.Load(a.LookupEnv, config.Flags{Env: a.flags.env, Timeout: a.flags.timeout})
		if err != nil {
			return nil, err
		}
		a.config = loaded
		for _, text := range loaded.Warnings {
			a.warn("%s", text)
		}
	}
	return a.config, nil
}

func (a *deps) stateDir() (string, error) { return config.StateDir(a.LookupEnv) }

// log returns the logger for the log in the state directory. A log that cannot be
// written never stops a payment.
func (a *deps) log() *slog.Logger {
	if a.applog == nil {
		dir, err := a.stateDir()
		if err != nil {
			return slog.New(slog.DiscardHandler)
		}
		a.applog = applog.New(filepath.Join(dir, "log"))
	}
	return a.applog.Logger().With("pid", os.Getpid(), "version", a.Build.Version)
}

// openLedger opens the configured ledger once.
func (a *deps) openLedger(ctx context.Context) (*ledger.Ledger, error) {
	if a.ledger != nil {
		return a.ledger, nil
	}
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	if err := settings.Require("ledger"); err != nil {
		return nil, err
	}
	dir, err := a.stateDir()
	if err != nil && settings.Ledger.Reveal() == "sqlite" {
		return nil, err
	}
	defer a.waiting("the ledger")()
	ctx, cancel := context.WithTimeout(ctx, settings.Profile.Timeout)
	defer cancel()
	if a.ledger, err = ledger.Open(ctx, settings.Ledger, dir, a.actor(), a.Now); err != nil {
		return nil, err
	}
	if warning := a.ledger.Warning(); warning != "" {
		a.warn("%s", warning)
	}
	return a.ledger, nil
}

// now is the time by which a payment is judged: by the ledger's clock, if it is open.
func (a *deps) now() time.Time {
	if a.ledger != nil {
		return a.ledger.Now()
	}
	return a.Now()
}

// screen describes stdout for package render.
func (a *deps) screen() render.Screen {
	s := a.screenOf(a.OutTTY)
	s.Now, s.Local = a.now(), a.Local
	return s
}

// requireLedger is openLedger for commands that cannot work without a ledger.
func (a *deps) requireLedger(ctx context.Context) (*config.Config, *ledger.Ledger, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, nil, err
	}
	if settings.Ledger.Reveal() == "none" {
		return nil, nil, &localError{
			err:  errors.New("this needs the ledger, and the ledger is set to none"),
			hint: "set `ledger` in the config file, or VILLAPAY_LEDGER, to sqlite or postgres://…",
		}
	}
	opened, err := a.openLedger(ctx)
	return settings, opened, err
}

// actor names this process in the ledger's events. The user is the operating
// system's: anybody can set USER.
func (a *deps) actor() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := fmt.Sprintf("uid %d", os.Getuid())
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	return fmt.Sprintf("%s@%s pid %d", name, host, os.Getpid())
}

// client returns an API client for the selected environment. idle is the number of
// idle connections to keep.
func (a *deps) client(idle int) (*api.Client, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	profile := settings.Profile
	c := &api.Client{
		BaseURL:           profile.BaseURL,
		OrderPath:         profile.OrderPath,
		Scheme:            profile.Auth.Scheme,
		IdempotencyHeader: profile.IdempotencyHeader,
		UserAgent:         a.userAgent(),
		Log:               a.log().With("env", profile.Name),
		OnRetry:           a.onRetry,
	}
	if c.Transport, err = a.transport(profile, idle, "the API"); err != nil {
		return nil, err
	}
	if profile.Sandbox {
		c.BaseURL = sandboxURL
		return c, nil
	}
	if strings.HasPrefix(c.BaseURL, "https:") {
		go warmRoots()
	}
	session, err := a.currentSession()
	if err != nil {
		return nil, err
	}
	c.Tokens = session // only now: a nil *auth.Session is a non-nil interface
	return c, nil
}

// bankClient returns a client for the bank's API, nil without the bank's key.
func (a *deps) bankClient(ctx context.Context, idle int) (*kbank.Client, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	profile := settings.Profile
	c := &api.Client{Name: "the bank", BaseURL: profile.KBank.APIURL, UserAgent: a.userAgent(), Log: a.log().With("env", profile.Name, "server", "bank"), OnRetry: a.onRetry}
	if profile.Sandbox {
		c.BaseURL = sandboxURL + sandbox.BankPath
	} else if c.Key, _, err = a.bankKey(ctx); err != nil || c.Key.Empty() {
		return nil, err
	}
	if c.Transport, err = a.transport(profile, idle, "the bank"); err != nil {
		return nil, err
	}
	return &kbank.Client{HTTP: c, Sof: sofs(profile)}, nil
}

// transport returns a transport to the network or the embedded sandbox, with a wait
// notice that names server and, with --debug, the trace on stderr.
func (a *deps) transport(profile config.Profile, idle int, server string) (http.RoundTripper, error) {
	var transport http.RoundTripper
	if profile.Sandbox {
		stand, err := a.openSandbox()
		if err != nil {
			return nil, err
		}
		transport = stand.Transport()
	} else {
		network, err := api.NewTransport(idle)
		if err != nil {
			return nil, &localError{err: err}
		}
		transport = network
	}
	if a.debugging() {
		transport = &debugTransport{next: transport, to: a.Err, bodies: true}
	}
	return &waitNoticeTransport{next: transport, streams: a.streams, server: server}, nil
}

// warmRoots loads the system's certificates in the background, which takes 10 ms on
// Linux; otherwise the first handshake would wait for them. The handshake reports
// any error.
func warmRoots() { _, _ = x509.SystemCertPool() }

// sandboxURL is the base URL of the embedded sandbox. Names under .invalid never
// resolve (RFC 6761), so a mistake cannot leave the process.
const sandboxURL = "http://sandbox.invalid"

func (a *deps) openSandbox() (*sandbox.Sandbox, error) {
	if a.sandbox == nil {
		dir, err := a.sandboxDir()
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &localError{err: fmt.Errorf("create the sandbox's directory: %w", err), hint: "check the directory's owner, mode and free space, or set VILLAPAY_STATE_DIR"}
		}
		opened := sandbox.New(sandbox.Options{Dir: dir, Now: a.Now})
		if err := opened.Check(); err != nil {
			return nil, &localError{err: fmt.Errorf("open the sandbox's state: %w", err), hint: "nothing was sent; check the owner and mode of the file and its directory, or set VILLAPAY_STATE_DIR; remove the file only if it is damaged"}
		}
		a.sandbox = opened
	}
	return a.sandbox, nil
}

func (a *deps) userAgent() string {
	return fmt.Sprintf("villapay/%s (%s/%s)", a.Build.Version, runtime.GOOS, runtime.GOARCH)
}

func (a *streams) debugging() bool { return a.flags.debug || isSet(a.Getenv("VILLAPAY_DEBUG")) }

// onRetry reports a retry at a terminal.
func (a *streams) onRetry(w api.Wait) {
	a.status("retrying in %.1f s (attempt %d failed): %s", w.For.Seconds(), w.Attempt, w.Err.Message)
}

// newKey returns a new idempotency key. UUIDs of version 7 sort by time, which
// keeps the ledger's index compact.
func newKey() string { return uuid.Must(uuid.NewV7()).String() }

// payments returns the payment service of the selected environment.
func (a *deps) payments(ctx context.Context, idle int) (*payment.Service, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	client, err := a.client(idle)
	if err != nil {
		return nil, err
	}
	opened, err := a.openLedger(ctx)
	if err != nil {
		return nil, err
	}
	bank, err := a.bankClient(ctx, idle)
	if err != nil {
		return nil, err
	}
	if opened.Kind() == "none" && bank != nil {
		bank = nil // a code that is not recorded cannot be canceled later
		a.warn("without a ledger the bank's API is not used, and its codes are not shown")
	}
	service := a.offline(settings.Profile, opened)
	service.API, service.Bank = client, bank
	a.draws = service.DrawsCodes
	return service, nil
}

// offline returns a service that only reads the ledger.
func (a *deps) offline(profile config.Profile, opened *ledger.Ledger) *payment.Service {
	return &payment.Service{
		Ledger: opened,
		Env:    profile.Name, Scope: profile.Scope(), Live: profile.Live, Timeout: profile.Timeout,
		StatusPath: profile.StatusPath, StatusPaid: profile.StatusPaid,
		Now: opened.Now, NewKey: newKey, Note: func(text string) { a.note("%s", text) },
		Warn: func(text string) { a.warn("%s", text) },
	}
}

// bankDraws reports whether the bank draws the codes of a source. A key that cannot be
// used counts: a code of the bank's may have been shown.
func (a *deps) bankDraws(ctx context.Context, source order.Source) bool {
	if a.draws != nil {
		return a.draws(source)
	}
	a.draws = func(order.Source) bool { return false }
	settings, err := a.settings()
	if err != nil || settings.Ledger.Reveal() == "none" {
		return false
	}
	if !settings.Profile.Sandbox {
		if key, _, err := a.bankKey(ctx); err == nil && key.Empty() {
			return false
		}
	}
	sof := sofs(settings.Profile)
	a.draws = func(source order.Source) bool { return sof[source] != "" }
	return a.draws(source)
}

// sofs returns the bank's name of each source, "" if it draws no codes for it.
func sofs(profile config.Profile) map[order.Source]string {
	return map[order.Source]string{order.QR: profile.KBank.SofQR, order.WeChat: profile.KBank.SofWeChat}
}

// warnForgetful warns if orders are not recorded for later runs: without a ledger, or
// with a new one on a CI machine's disk.
func (a *deps) warnForgetful(service *payment.Service) {
	switch service.Ledger.Kind() {
	case "none":
		a.warn("there is no ledger: nothing is recorded, and running a command twice can make two orders")
	case "sqlite":
		_, err := os.Stat(service.Ledger.Where())
		if errors.Is(err, fs.ErrNotExist) && isSet(a.Getenv("CI")) && service.Env != config.Sandbox {
			a.warn("in CI a local ledger is lost with the machine: set VILLAPAY_LEDGER to a PostgreSQL URL")
		}
	}
}

// write writes a result to stdout. Its error is an *outputError.
func (a *output) write(data []byte) error {
	_, err := a.writer().Write(data)
	return err
}

// writer returns stdout with failed writes as *outputError. The last one is kept
// in writeErr, since cobra ignores write errors when it prints help. One that Ctrl-C
// canceled is not: a server ends with 0 then.
func (a *output) writer() io.Writer { return resultWriter{a} }

type resultWriter struct{ *output }

func (w resultWriter) Write(data []byte) (int, error) {
	if w.OutTTY {
		w.endStatus()
	}
	n, err := w.Out.Write(data)
	if err == nil {
		return n, nil
	}
	err = &outputError{err}
	if !errors.Is(err, context.Canceled) {
		w.writeErr = err
	}
	return n, err
}
