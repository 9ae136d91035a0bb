package cmd

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/secret"
)

// The exit codes are stable: scripts rely on them (villapay help exit-codes).
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2 // bad flag or argument; nothing sent
	exitConfig      = 3 // configuration, ledger or disk; nothing sent
	exitDenied      = 4 // not signed in, or not allowed
	exitRejected    = 5 // rejected by the API or the bank, or no such payment
	exitUnknown     = 6 // it may have been made; running it again is safe
	exitUnavailable = 7 // nothing was made
	exitNotPaid     = 8 // with --watch or --exit-status
	exitSomeFailed  = 9 // of a batch, or differences
	exitInterrupted = 130
)

// failure is the error that ends a command. Its fields are the error object of
// -o json.
type failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	Status    int    `json:"status"`
	RequestID string `json:"request_id"`
	Retryable bool   `json:"retryable"`
	ExitCode  int    `json:"exit_code"`

	text   string // shown instead of Message as text, if set
	quiet  bool   // already shown as text: write only the error object
	silent bool   // the reader is gone: write nothing
}

func (f *failure) Error() string { return cmp.Or(f.text, f.Message) }

// usageError reports invalid input on the command line.
func usageError(hint, format string, args ...any) error {
	return &failure{Code: "usage", Message: fmt.Sprintf(format, args...), Hint: hint, ExitCode: exitUsage}
}

// outputError is a failed write to stdout, such as a full disk or a closed pipe.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write the result: " + e.err.Error() }

func (e *outputError) Unwrap() error { return e.err }

// localError is an error on this machine before anything was sent.
type localError struct {
	err  error
	hint string
}

func (e *localError) Error() string { return e.err.Error() }

func (e *localError) Unwrap() error { return e.err }

// explain turns any error into a *failure with an exit code and a hint.
func explain(ctx context.Context, err error) *failure {
	f := failureOf(err)
	if ctx.Err() == nil || f.silent || f.quiet || f.ExitCode == exitUsage || f.ExitCode == exitInterrupted {
		return f
	}
	interrupted := &failure{Code: "interrupted", Message: "interrupted", Retryable: true, ExitCode: exitInterrupted}
	if f.ExitCode == exitUnknown {
		interrupted.Hint = f.Hint
		if f.Code != interrupted.Code { // else the message already says so
			interrupted.Message += "; " + f.Message
		} else {
			interrupted.Message = f.Message
		}
	}
	return interrupted
}

// failureOf is explainKind with evident secrets redacted: errors quote arguments, file
// names and settings, where somebody may have typed one by mistake.
func failureOf(err error) *failure {
	f := explainKind(err)
	f.Message, f.text, f.Hint = secret.RedactEvident(f.Message), secret.RedactEvident(f.text), secret.RedactEvident(f.Hint)
	return f
}

const (
	hintDoctor  = "run `villapay doctor`"
	hintSignIn  = "run `villapay login`"
	hintBankKey = "run `villapay login --kbank-secret`, or set VILLAPAY_KBANK_SECRET"
	hintSandbox = "free disk space, or run `villapay sandbox reset`; then run it again"
)

const hintAskAgain = "run the same command again: that is safe; if it fails again, " + hintDoctor

const hintRunAgain = "the order may have been made; run the same command again: that is safe, it repeats the request with the same key"

func explainKind(err error) *failure {
	var (
		ready       *failure
		output      *outputError
		local       *localError
		call        *api.Error
		settings    *config.Error
		signIn      *auth.Error
		notRecorded *payment.NotRecordedError
		held        *payment.HeldError
		busy        *payment.BusyError
		keyUsed     *ledger.KeyUsedError
		doubt       *order.DoubtError
		stored      *ledger.Error
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &output):
		return &failure{Code: "output", Message: err.Error(), ExitCode: exitInternal, silent: closedPipe(err)}
	case errors.As(err, &notRecorded):
		f := &failure{Code: "not_recorded", Message: err.Error(), Hint: hintRunAgain, Retryable: true, ExitCode: exitUnknown}
		if notRecorded.Key == "" {
			f.Hint = hintAskAgain
		}
		return f
	case errors.Is(err, payment.ErrNoBankKey):
		return &failure{Code: "no_bank_key", Message: err.Error(), Hint: hintBankKey, ExitCode: exitConfig}
	case errors.As(err, &held):
		return &failure{Code: "code_held", Message: err.Error(), ExitCode: exitRejected}
	case errors.As(err, &busy):
		return &failure{Code: "busy", Message: err.Error(), Hint: hintRunAgain, Retryable: true, ExitCode: exitUnknown}
	case errors.As(err, &call) && call.Kind == api.Unknown: // before all others: the order may have been made
		f := explainCall(call)
		if errors.As(err, &signIn) && signIn.Hint != "" {
			f.Hint = signIn.Hint + "; then: " + f.Hint
		}
		return f
	case errors.As(err, &signIn):
		f := explainSignIn(signIn)
		if call != nil {
			f.Status, f.RequestID = call.Status, call.RequestID
		}
		if signIn.Kind == auth.NotSignedIn && f.Status == http.StatusUnauthorized {
			f.Hint += "; if a new token is rejected too, check auth.scheme: run `villapay env show`"
		}
		return f
	case errors.As(err, &settings):
		return explainConfig(settings)
	case errors.As(err, &keyUsed):
		return &failure{Code: "key_used", Message: err.Error(), Hint: "use another key, or none: villapay makes a fresh one", ExitCode: exitUsage}
	case call != nil: // even if the rejection could not be recorded
		return explainCall(call)
	case errors.As(err, &doubt):
		return &failure{Code: "charge_doubt", Message: err.Error(), Hint: hintAskAgain, Retryable: true, ExitCode: exitUnknown}
	case errors.As(err, &local): // may wrap an error of the ledger with a better hint
		return &failure{Code: "local", Message: err.Error(), Hint: local.hint, ExitCode: exitConfig}
	case errors.As(err, &stored) && stored.OutOfTime():
		return &failure{Code: "timeout", Message: err.Error(), Hint: "nothing was sent; use a longer --timeout, or " + hintDoctor, Retryable: true, ExitCode: exitConfig}
	case errors.As(err, &stored) && stored.Transient():
		return &failure{Code: "ledger", Message: err.Error(), Hint: "nothing was sent; run it again; if it fails again, " + hintDoctor, Retryable: true, ExitCode: exitConfig}
	case errors.As(err, &stored):
		return &failure{Code: "ledger", Message: err.Error(), Hint: "nothing was sent; " + hintDoctor, ExitCode: exitConfig}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{Code: "timeout", Message: err.Error(), Retryable: true, ExitCode: exitUnavailable}
	}
	return &failure{Code: "internal", Message: err.Error(), ExitCode: exitInternal}
}

func explainCall(e *api.Error) *failure {
	f := &failure{Code: e.Code, Message: e.Message, text: e.Error(), Status: e.Status, RequestID: e.RequestID, Retryable: e.Retryable()}
	switch e.Kind {
	case api.Denied:
		f.ExitCode = exitDenied
		f.Hint = "you are signed in, but not allowed to do this: ask an administrator"
		switch {
		case e.Server != "":
			f.Hint = "the bank does not accept the secret key; " + hintBankKey
		case errors.Is(e, api.ErrNoRoute):
			f.Hint = "run `villapay env show`, and check base_url, order_path and auth.scheme"
		case errors.Is(e, api.ErrFreshToken):
			f.Hint = "the token is new, so check auth.scheme: run `villapay env set auth.scheme Bearer`, or `villapay env unset auth.scheme`"
		case e.Status == http.StatusUnauthorized:
			f.Hint = hintSignIn
		}
	case api.Rejected:
		f.ExitCode = exitRejected
	case api.Unknown:
		f.ExitCode, f.Hint = exitUnknown, hintRunAgain
		if e.Code == "sandbox_broken" {
			f.Hint = hintSandbox
		}
	case api.Unavailable:
		f.ExitCode, f.Hint = exitUnavailable, "nothing was made; run it again later"
		if hint := networkHint(e); hint != "" {
			f.Hint = "nothing was made; " + hint
		}
	}
	return f
}

// networkHint returns the hint for a failure of the local network, "" for any other.
func networkHint(err error) string {
	var proxy *api.ProxyError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &proxy):
		return "check HTTPS_PROXY, with its user and password, and what the proxy allows"
	case errors.As(err, &authority):
		return "if this network has a certificate authority of its own, set SSL_CERT_FILE to a file with its certificate"
	case errors.As(err, &host), errors.As(err, &invalid):
		return "check the address in `villapay env show` and this machine's clock; a proxy or a portal may be in between"
	}
	return ""
}

func explainSignIn(e *auth.Error) *failure {
	f := &failure{Code: "sign_in", Message: e.Error(), Hint: e.Hint, ExitCode: exitDenied}
	switch e.Kind {
	case auth.NotSignedIn, auth.Denied:
	case auth.Unreachable:
		f.Code, f.ExitCode, f.Retryable = "sign_in_unreachable", exitUnavailable, true
		f.Hint = cmp.Or(networkHint(e), f.Hint)
	case auth.Config:
		f.Code, f.ExitCode = "config", exitConfig
	}
	return f
}

func explainConfig(e *config.Error) *failure {
	f := &failure{Code: "config", Message: e.Error(), Hint: e.Hint, ExitCode: exitConfig}
	switch e.Kind {
	case config.KindUsage:
		f.Code, f.ExitCode = "usage", exitUsage
	case config.KindSignIn:
		f.Code, f.ExitCode = "sign_in", exitDenied
	case config.KindConfig:
	}
	return f
}

// fail writes a failure to stderr, as text or as one JSON object.
func (a *app) fail(f *failure) {
	if f.silent {
		return
	}
	if a.jsonErrors() {
		line, err := json.Marshal(map[string]*failure{"error": f})
		if err == nil && render.JSONLine(a.Err, line) == nil {
			return
		}
	}
	if f.quiet {
		return
	}
	fmt.Fprintf(a.Err, "villapay: %s\n", a.sanitize(f.Error()))
	if f.RequestID != "" {
		fmt.Fprintf(a.Err, "request id: %s\n", a.sanitize(f.RequestID))
	}
	if f.Hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", a.sanitize(f.Hint))
	}
}

// jsonErrors reports whether errors are written as JSON. It must work even if the
// command line could not be parsed.
func (a *app) jsonErrors() bool {
	format := a.flags.output
	if format == "" && (a.flags.jq != "" || !a.parsed && asksForJSON(a.args)) {
		format = "json"
	}
	if format == "" {
		format = config.Format(a.Getenv("VILLAPAY_OUTPUT"))
	}
	if format == "" && a.config != nil {
		format = config.Format(a.config.Output.Value)
	}
	return format == "json"
}

// asksForJSON looks for -o json or --jq in a command line that could not be parsed.
func asksForJSON(args []string) bool {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.Usage = func() {}
	output, jq := f.StringP("output", "o", "", ""), f.String("jq", "", "")
	for name, short := range map[string]string{"help": "h", "quiet": "q", "yes": "y", "include": "i"} {
		f.BoolP(name, short, false, "") // can precede o: -qo json
	}
	_ = f.Parse(args) // what precedes an error is parsed
	return *output == "json" || *jq != ""
}
