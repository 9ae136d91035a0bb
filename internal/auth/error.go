package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/villapay/villapay/internal/secret"
)

// Kind says what an [Error] asks of its reader.
type Kind int

// The kinds of failure, in the order of the exit codes they become: 4, 4, 7, 3.
const (
	NotSignedIn Kind = iota // there is no usable session: sign in
	Denied                  // the pool refused what it was given
	Unreachable             // the pool could not be asked, or asked to wait
	Config                  // a setting, a file or the keyring is at fault
)

// Error is a failure to sign in, or to find or renew a token. Its texts hold no
// secret, but may hold words of the server: make control characters visible
// before showing them.
type Error struct {
	Kind    Kind
	Code    string // Cognito's or OAuth's name of the error; "" where they had no part in it
	Message string // what happened, lower case
	Hint    string // what to do about it; may be ""
	Err     error  // the cause, where it is the system's: a network or file error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Transient tells whether the same may work later.
func (e *Error) Transient() bool { return e.Kind == Unreachable }

// code is Cognito's name of the error in err, "" where err is not its answer.
func code(err error) string {
	if answer, ok := errors.AsType[*refusal](err); ok {
		return answer.code
	}
	return ""
}

// status is the HTTP status of the answer behind err, 0 where there was none.
func status(err error) int {
	if answer, ok := errors.AsType[*refusal](err); ok {
		return answer.status
	}
	return 0
}

// unknownCall tells whether the server does not know the call at all, as
// emulators of Cognito do with newer ones.
func unknownCall(err error) bool {
	return saysUnknown(err) || status(err) == 404 || status(err) == 501
}

// saysUnknown tells whether the server says so in Cognito's words. A bare status
// may come from something else that answers in its place.
func saysUnknown(err error) bool {
	switch code(err) {
	case "Unsupported", "UnknownOperationException", "NotImplementedError":
		return true
	}
	return false
}

// explain turns a failed call into what its reader should know, without any of
// the secrets, which a server may have echoed.
func (c *Client) explain(err error, secrets ...secret.String) error {
	var answer *refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("sign-in interrupted: %w", context.Canceled)
	case !errors.As(err, &answer) || answer.code == "":
		return c.unreachable(err)
	}
	told := c.answered(answer.code, answer.message, answer.status)
	told.Code = secret.Redact(answer.code, secrets...)
	told.Message = secret.Redact(told.Message, append(secrets, c.pool.ClientSecret)...)
	return told
}

// answered reads an error of Cognito: its type first, its words second.
func (c *Client) answered(code, words string, status int) *Error {
	switch code {
	case "NotAuthorizedException":
		return c.notAuthorized(words)
	case "UserNotFoundException", "InvalidPasswordException": // the latter is an emulator's word for it
		return &Error{Kind: Denied, Message: wrongPassword, Hint: wrongPasswordHint}
	case "PasswordResetRequiredException":
		return &Error{Kind: Denied, Message: "the password of this account has to be reset first", Hint: "reset it where you manage the account, or ask an administrator; then sign in again"}
	case "UserNotConfirmedException":
		return &Error{Kind: Denied, Message: "this account is not confirmed yet", Hint: "confirm it with the code that was sent to you, or ask an administrator"}
	case "CodeMismatchException":
		return &Error{Kind: Denied, Message: "the code is wrong", Hint: startAgain}
	case "ExpiredCodeException":
		return &Error{Kind: Denied, Message: "the code has expired", Hint: startAgain}
	case "ResourceNotFoundException":
		return &Error{Kind: Config, Message: "sign-in does not know this app client or user pool: " + words, Hint: c.setting("client_id or region is wrong", "auth.client_id CLIENT_ID")}
	case "TooManyRequestsException", "ThrottlingException", "RequestLimitExceeded":
		return &Error{Kind: Unreachable, Message: "sign-in is throttled: too many requests", Hint: "wait a minute, then try again"}
	case "LimitExceededException":
		return &Error{Kind: Unreachable, Message: "sign-in has reached a limit: " + words, Hint: "wait 15 minutes, then try again"}
	case "InvalidParameterException", "UnauthorizedException": // the latter is RevokeToken's
		if told := aboutClientSecret(words); told != nil {
			return told
		}
		return &Error{Kind: Config, Message: "sign-in refused the request: " + words, Hint: "check the auth settings: villapay env show -e " + c.pool.Env}
	}
	switch {
	case status >= 500 || status < 400:
		return &Error{Kind: Unreachable, Message: c.unavailable(status), Hint: outage}
	case code == "UnknownError":
		return &Error{Kind: Unreachable, Message: fmt.Sprintf("%s answered HTTP %d without Cognito's words", c.host(), status), Hint: "check auth.endpoint and any proxy between"}
	}
	return &Error{Kind: Denied, Message: "sign-in was refused: " + code + ": " + words}
}

const (
	wrongPassword     = "wrong username or password"
	wrongPasswordHint = "several wrong passwords lock the account for a while"
	startAgain        = "start again: villapay login"
	outage            = "this says nothing about your password or session; try again later"
)

// notAuthorized reads the one exception that Cognito uses for many things.
func (c *Client) notAuthorized(words string) *Error {
	has := func(part string) bool { return strings.Contains(strings.ToLower(words), part) }
	if told := aboutClientSecret(words); told != nil {
		return told
	}
	switch {
	case has("attempts exceeded"):
		return &Error{Kind: Denied, Message: "too many wrong passwords: the account is locked for now", Hint: "wait 15 minutes and do not retry before: each attempt prolongs the lock"}
	case has("incorrect username or password"), has("user does not exist"):
		return &Error{Kind: Denied, Message: wrongPassword, Hint: wrongPasswordHint}
	case has("disabled"):
		return &Error{Kind: Denied, Message: "this account is disabled", Hint: "ask an administrator"}
	case has("must be reset by an administrator"), has("temporary password"):
		return &Error{Kind: Denied, Message: "the temporary password has expired", Hint: "ask an administrator for a new one"}
	case has("session") && (has("invalid") || has("expired")):
		return &Error{Kind: Denied, Message: "signing in took over 3 minutes", Hint: startAgain}
	case has("refresh token"):
		return c.ended()
	case has("required scopes"):
		return &Error{Kind: Denied, Message: "a session made in the browser may not do this: its token lacks the scope aws.cognito.signin.user.admin", Hint: "sign in with a password: villapay login -e " + c.pool.Env}
	}
	return &Error{Kind: Denied, Message: "sign-in was refused: " + words}
}

// aboutClientSecret explains words about the app client's secret, which come
// under several exceptions; nil where it is not the matter.
func aboutClientSecret(words string) *Error {
	has := func(part string) bool { return strings.Contains(strings.ToLower(words), part) }
	switch {
	case has("unable to verify secret hash"), has("invalid client secret"):
		return &Error{Kind: Config, Message: "the client secret is wrong (not your password)", Hint: "check VILLAPAY_CLIENT_SECRET"}
	case has("not configured for secret"), has("not configured with secret"):
		return &Error{Kind: Config, Message: "this app client has no secret, but one was sent (your password is not the matter)", Hint: "unset VILLAPAY_CLIENT_SECRET"}
	case has("configured with secret"), has("configured for secret"):
		return &Error{Kind: Config, Message: "this app client needs its client secret (your password is not the matter)", Hint: "set VILLAPAY_CLIENT_SECRET"}
	}
	return nil
}

// ended is the error of a session that cannot be renewed.
func (c *Client) ended() *Error {
	return &Error{Kind: NotSignedIn, Message: "the session in " + c.pool.Env + " has ended", Hint: c.login()}
}

func (c *Client) login() string { return "run `villapay login -e " + c.pool.Env + "`" }

// setting is a hint to correct one setting.
func (c *Client) setting(what, assignment string) string {
	return fmt.Sprintf("%s: villapay env set %s -e %s", what, assignment, c.pool.Env)
}

// unreachable explains a call without an answer of Cognito's.
func (c *Client) unreachable(err error) *Error {
	told := &Error{Kind: Unreachable, Hint: outage}
	var network *net.OpError
	var dns *net.DNSError
	var wrapped *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		told.Message, told.Err = "sign-in at "+c.host()+" did not answer in time", context.DeadlineExceeded
	case status(err) >= 500:
		told.Message = c.unavailable(status(err))
	case status(err) != 0:
		told.Message = fmt.Sprintf("%s answered HTTP %d, but not as Cognito does", c.host(), status(err))
		told.Hint = "check auth.endpoint, and the network: a proxy or a portal may be in between"
	case errors.As(err, &dns):
		told.Message, told.Err = "cannot reach sign-in at "+c.host()+": "+dns.Err, dns
	case errors.As(err, &network) && network.Err != nil:
		told.Message, told.Err = "cannot reach sign-in at "+c.host()+": "+network.Err.Error(), network
	case errors.As(err, &wrapped):
		told.Message, told.Err = "cannot reach sign-in at "+c.host()+": "+wrapped.Err.Error(), wrapped.Err
	default:
		told.Message = "no usable answer from sign-in at " + c.host()
	}
	return told
}

func (c *Client) unavailable(status int) string {
	return fmt.Sprintf("sign-in at %s is unavailable (HTTP %d)", c.host(), status)
}

// host is where sign-in is, for messages.
func (c *Client) host() string {
	if u, err := url.Parse(c.pool.origin()); err == nil && u.Host != "" {
		return u.Host
	}
	return c.pool.origin()
}
