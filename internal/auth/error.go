package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Kind says who can do something about an [Error].
type Kind int

// The kinds of failure, in the order of the exit codes they become: 4, 4, 7, 3.
const (
	NotSignedIn Kind = iota // there is no usable session: sign in
	Denied                  // the pool did not accept what it was given
	Unreachable             // the pool could not be asked, or asked to wait
	Config                  // a setting, a file or the keyring is at fault
)

// Error is a failure to sign in, or to find or refresh a token. Its texts hold no
// secret, but may hold text of the server: sanitize them before showing them.
type Error struct {
	Kind    Kind
	Message string // what happened, lower case
	Hint    string // what to do about it; may be ""
	Err     error  // the cause, if it is a network or file error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Transient reports whether the same may work later.
func (e *Error) Transient() bool { return e.Kind == Unreachable }

// code is Cognito's name of the error in err, or "".
func code(err error) string {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.code
	}
	return ""
}

// status is the HTTP status of the response behind err, 0 if there was none.
func status(err error) int {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.status
	}
	return 0
}

// unknownCall reports whether the server does not know the call, as emulators
// of Cognito do with newer ones.
func unknownCall(err error) bool {
	return saysUnknown(err) || status(err) == 404 || status(err) == 501
}

// saysUnknown reports whether Cognito says so. A bare status may come from
// something else in its place.
func saysUnknown(err error) bool {
	switch code(err) {
	case "Unsupported", "UnknownOperationException", "NotImplementedError":
		return true
	}
	return false
}

// explain turns a failed call into an [Error].
func (c *Client) explain(err error) error {
	var response *apiError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("sign-in interrupted: %w", context.Canceled)
	case !errors.As(err, &response) || response.code == "":
		return c.unreachable(err)
	}
	return c.cognitoError(response.code, response.message, response.status)
}

// cognitoError explains an error of Cognito: by its type first, its message second.
func (c *Client) cognitoError(code, words string, status int) *Error {
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
		if authErr := aboutClientSecret(words); authErr != nil {
			return authErr
		}
		return &Error{Kind: Config, Message: "sign-in rejected the request: " + words, Hint: "check the auth settings: villapay env show -e " + c.pool.Env}
	}
	switch {
	case status >= 500 || status < 400:
		return &Error{Kind: Unreachable, Message: c.unavailable(status), Hint: outage}
	case code == "UnknownError":
		return &Error{Kind: Unreachable, Message: fmt.Sprintf("%s answered HTTP %d without an error of Cognito's", c.host(), status), Hint: "check auth.endpoint and any proxy between"}
	}
	return &Error{Kind: Denied, Message: "sign-in was denied: " + code + ": " + words}
}

const (
	wrongPassword     = "wrong username or password"
	wrongPasswordHint = "several wrong passwords lock the account for a while"
	startAgain        = "start again: `villapay login`"
	outage            = "try again later: this does not mean that your password or session is wrong"
)

// notAuthorized explains the one exception that Cognito uses for many things.
func (c *Client) notAuthorized(words string) *Error {
	has := func(part string) bool { return strings.Contains(strings.ToLower(words), part) }
	if authErr := aboutClientSecret(words); authErr != nil {
		return authErr
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
	return &Error{Kind: Denied, Message: "sign-in was denied: " + words}
}

// aboutClientSecret explains messages about the app client's secret, which come
// with several exceptions; nil for all others.
func aboutClientSecret(words string) *Error {
	has := func(part string) bool { return strings.Contains(strings.ToLower(words), part) }
	switch {
	case has("unable to verify secret hash"), has("invalid client secret"):
		return &Error{Kind: Config, Message: "the client secret is wrong (not your password)", Hint: "check VILLAPAY_CLIENT_SECRET"}
	case has("not configured for secret"), has("not configured with secret"):
		return &Error{Kind: Config, Message: "this app client has no secret, but one was sent (your password is not the problem)", Hint: "unset VILLAPAY_CLIENT_SECRET"}
	case has("configured with secret"), has("configured for secret"):
		return &Error{Kind: Config, Message: "this app client needs its client secret (your password is not the problem)", Hint: "set VILLAPAY_CLIENT_SECRET"}
	}
	return nil
}

// ended is the error of a session that cannot be refreshed.
func (c *Client) ended() *Error {
	return &Error{Kind: NotSignedIn, Message: "the session in " + c.pool.Env + " has ended", Hint: c.login()}
}

func (c *Client) login() string { return "run `villapay login -e " + c.pool.Env + "`" }

// setting is a hint to correct one setting.
func (c *Client) setting(what, assignment string) string {
	return fmt.Sprintf("%s: villapay env set %s -e %s", what, assignment, c.pool.Env)
}

// unreachable explains a call without a response of Cognito's.
func (c *Client) unreachable(err error) *Error {
	authErr := &Error{Kind: Unreachable, Hint: outage}
	says, cause := networkError(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		authErr.Message, authErr.Err = "sign-in at "+c.host()+" did not answer in time", context.DeadlineExceeded
	case status(err) >= 500:
		authErr.Message = c.unavailable(status(err))
	case status(err) != 0:
		authErr.Message = fmt.Sprintf("%s answered HTTP %d, but not as Cognito does", c.host(), status(err))
		authErr.Hint = "check auth.endpoint, and the network: a proxy or a portal may be in between"
	case cause != nil:
		authErr.Message, authErr.Err = "cannot reach sign-in at "+c.host()+": "+says, cause
	default:
		authErr.Message = "no usable answer from sign-in at " + c.host()
	}
	return authErr
}

// networkError returns the network's error behind err, nil if there is none, and what
// it says without Go's words about the call.
func networkError(err error) (says string, cause error) {
	var dns *net.DNSError
	var network *net.OpError
	var call *url.Error
	switch {
	case errors.As(err, &dns):
		return dns.Err, dns
	case errors.As(err, &network) && network.Err != nil:
		return network.Err.Error(), network
	case errors.As(err, &call):
		return call.Err.Error(), call.Err
	}
	return "", nil
}

func (c *Client) unavailable(status int) string {
	return fmt.Sprintf("sign-in at %s is unavailable (HTTP %d)", c.host(), status)
}

// host names the sign-in server in messages.
func (c *Client) host() string {
	if u, err := url.Parse(c.pool.origin()); err == nil && u.Host != "" {
		return u.Host
	}
	return c.pool.origin()
}
