package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// The exit codes, a promise to scripts (villapay help exit-codes).
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2 // bad flag or argument; nothing sent
	exitConfig      = 3 // configuration, ledger or disk; nothing sent
	exitDenied      = 4 // not signed in, or not allowed
	exitRejected    = 5 // refused, or no such payment
	exitUnknown     = 6 // it may have been made; running it again is safe
	exitUnavailable = 7 // nothing was made
	exitNotPaid     = 8 // with --watch or --exit-status
	exitSomeFailed  = 9 // of a batch
	exitInterrupted = 130
)

// failure is how a command ends other than well. Its fields are the error
// object of -o json.
type failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	Status    int    `json:"status"`
	RequestID string `json:"request_id"`
	Retryable bool   `json:"retryable"`
	ExitCode  int    `json:"exit_code"`

	silent bool // everything has been said: only the exit code is left
}

func (f *failure) Error() string { return f.Message }

// usageError is bad input on the command line.
func usageError(hint, format string, args ...any) error {
	return &failure{Code: "usage", Message: fmt.Sprintf(format, args...), Hint: hint, ExitCode: exitUsage}
}

// exitWith ends the command with a code and nothing more to say.
func exitWith(code int) error { return &failure{ExitCode: code, silent: true} }

// outputError is a write to stdout that failed: a full disk, a closed pipe.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write the result: " + e.err.Error() }

func (e *outputError) Unwrap() error { return e.err }

// localError is trouble with this machine's own files before anything was sent.
type localError struct {
	err  error
	hint string
}

func (e *localError) Error() string { return e.err.Error() }

func (e *localError) Unwrap() error { return e.err }

// explain turns any error into how the command ends: the errors of the packages
// below get their exit codes and hints here, a *failure has its own.
func explain(ctx context.Context, err error) *failure {
	f := explainKind(err)
	if ctx.Err() != nil && !f.silent && f.ExitCode != exitUsage {
		interrupted := &failure{Code: "interrupted", Message: "interrupted", ExitCode: exitInterrupted}
		if f.ExitCode == exitUnknown {
			interrupted.Message = "interrupted; " + f.Message
			interrupted.Hint, interrupted.Retryable = f.Hint, true
		}
		return interrupted
	}
	return f
}

const (
	hintDoctor = "run `villapay doctor`"
	hintSignIn = "run `villapay login`"
)

const hintRunAgain = "the order may have been made; run the same command again, that is safe: it asks again with the same key"

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
		stored      *ledger.Error
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &output):
		return &failure{Code: "output", Message: err.Error(), ExitCode: exitInternal, silent: closedPipe(err)}
	case errors.As(err, &notRecorded):
		return &failure{Code: "not_recorded", Message: err.Error(), Hint: hintRunAgain, Retryable: true, ExitCode: exitUnknown}
	case errors.Is(err, payment.ErrNoBankKey):
		return &failure{Code: "no_bank_key", Message: err.Error(), Hint: "run `villapay login --kbank-secret`, or set VILLAPAY_KBANK_SECRET", ExitCode: exitConfig}
	case errors.As(err, &held):
		return &failure{Code: "code_held", Message: err.Error(), ExitCode: exitRejected}
	case errors.As(err, &busy):
		return &failure{Code: "busy", Message: err.Error(), Hint: hintRunAgain, Retryable: true, ExitCode: exitUnknown}
	case errors.As(err, &call) && call.Kind == api.Unknown: // whatever else happened, it may have been made
		f := explainCall(call)
		if errors.As(err, &signIn) && signIn.Hint != "" {
			f.Hint = signIn.Hint + "; then: " + f.Hint
		}
		return f
	case errors.As(err, &signIn):
		return explainSignIn(signIn)
	case errors.As(err, &settings):
		return explainConfig(settings)
	case errors.As(err, &keyUsed):
		return &failure{Code: "key_used", Message: err.Error(), Hint: "use another key, or none: villapay makes a fresh one", ExitCode: exitUsage}
	case call != nil: // it was refused, even if that could not be recorded
		return explainCall(call)
	case errors.As(err, &local): // which may explain an error of the ledger better
		return &failure{Code: "local", Message: err.Error(), Hint: local.hint, ExitCode: exitConfig}
	case errors.As(err, &stored):
		return &failure{Code: "ledger", Message: err.Error(), Hint: "nothing was sent; " + hintDoctor, ExitCode: exitConfig}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{Code: "timeout", Message: err.Error(), Retryable: true, ExitCode: exitUnavailable}
	}
	return &failure{Code: "internal", Message: err.Error(), ExitCode: exitInternal}
}

func explainCall(e *api.Error) *failure {
	f := &failure{Code: e.Code, Message: e.Error(), Status: e.Status, RequestID: e.RequestID, Retryable: e.Retryable()}
	switch e.Kind {
	case api.Denied:
		f.ExitCode = exitDenied
		f.Hint = "you are signed in, but not allowed to do this: ask an administrator"
		if e.Status == 401 {
			f.Hint = hintSignIn
		}
		if errors.Is(e, api.ErrNoRoute) {
			f.Hint = "check base_url: run `villapay env show`"
		}
		if e.Server != "" {
			f.Hint = "the bank does not accept the secret key: run `villapay doctor`"
		}
	case api.Rejected:
		f.ExitCode = exitRejected
	case api.Unknown:
		f.ExitCode, f.Hint = exitUnknown, hintRunAgain
	case api.Unavailable:
		f.ExitCode, f.Hint = exitUnavailable, "nothing was made; run it again later"
	}
	return f
}

func explainSignIn(e *auth.Error) *failure {
	f := &failure{Code: "sign_in", Message: e.Error(), Hint: e.Hint, ExitCode: exitDenied}
	switch e.Kind {
	case auth.NotSignedIn, auth.Denied:
	case auth.Unreachable:
		f.Code, f.ExitCode, f.Retryable = "sign_in_unreachable", exitUnavailable, true
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

// fail writes how the command ends to stderr, as text or as one JSON object.
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
	fmt.Fprintf(a.Err, "villapay: %s\n", a.sanitize(f.Message))
	if f.RequestID != "" {
		fmt.Fprintf(a.Err, "request id: %s\n", a.sanitize(f.RequestID))
	}
	if f.Hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", a.sanitize(f.Hint))
	}
}

// jsonErrors tells whether errors are written as JSON. It must work also when
// the command line was not understood.
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

// asksForJSON looks for -o json or --jq in a command line that was not understood
// to its end.
func asksForJSON(args []string) bool {
	for i, arg := range args {
		switch name, value, ok := strings.Cut(arg, "="); {
		case name == "--jq", arg == "-ojson":
			return true
		case name == "--output" || name == "-o":
			if !ok && i+1 < len(args) {
				value = args[i+1]
			}
			return value == "json"
		}
	}
	return false
}
