package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/secret"
)

const (
	maxSteps = 8 // challenges in one sign-in; Cognito has at most three in a row
	maxTries = 3 // at one code or new password
)

// finish answers challenges until there are tokens.
func (c *Client) finish(ctx context.Context, username string, s step) (Tokens, error) {
	for range maxSteps {
		if result := s.AuthenticationResult; result != nil {
			tokens, err := c.receive(ctx, *result, "", c.now())
			if err == nil {
				tokens.Device, err = c.confirmDevice(ctx, *result)
			}
			return tokens, err
		}
		username = s.user(username)
		next, err := c.challenge(ctx, username, s)
		if err != nil {
			return Tokens{}, err
		}
		s = next
	}
	return Tokens{}, &Error{Kind: Denied, Message: "sign-in keeps asking for more steps", Hint: "ask an administrator"}
}

// challenge asks for the answer to one challenge and sends it. A wrong code may
// be typed again in the same session; nothing is resent.
func (c *Client) challenge(ctx context.Context, username string, s step) (step, error) {
	ask, err := c.asker(s)
	if err != nil {
		return step{}, err
	}
	for try := 1; ; try++ {
		answers, err := ask(ctx)
		if err != nil {
			return step{}, err
		}
		next, err := c.respond(ctx, username, s, answers)
		if err == nil {
			return next, nil
		}
		authErr := c.challengeFailed(err)
		if try == maxTries || !canRetry(err) {
			return step{}, authErr
		}
		note := authErr.Error() + ": try again"
		if code(err) == "ExpiredCodeException" && s.ChallengeName != "SOFTWARE_TOKEN_MFA" {
			note = authErr.Error() + ", and no other is sent: press Ctrl-C and sign in again"
		}
		c.prompt.Note(sanitize.Text(c.Redact(note)))
	}
}

// passwordHistory is the error for a new password that the user has had before.
const passwordHistory = "PasswordHistoryPolicyViolationException"

// canRetry reports whether another answer may do in the same session.
func canRetry(err error) bool {
	switch code(err) {
	case "CodeMismatchException", "ExpiredCodeException", "InvalidPasswordException", passwordHistory:
		return true
	}
	return false
}

// challengeFailed explains an answer that was not accepted.
func (c *Client) challengeFailed(err error) error {
	switch code(err) {
	case passwordHistory:
		return &Error{Kind: Denied, Message: "the new password was used before", Hint: "choose one that this account never had"}
	case "InvalidPasswordException":
		return &Error{Kind: Denied, Message: "the new password is not good enough for this pool" + serverWords(err), Hint: "choose a longer one, with upper and lower case letters, digits and signs"}
	}
	return c.explain(err)
}

// serverWords ends a message with Cognito's own words about a password, if it gave any.
func serverWords(err error) string {
	if e, ok := errors.AsType[*apiError](err); ok && e.message != "" {
		return " (" + e.message + ")"
	}
	return ""
}

// asker returns the function that asks for a challenge's answer, or an error if
// nobody can answer.
func (c *Client) asker(s step) (func(context.Context) (map[string]string, error), error) {
	var ask func(context.Context) (map[string]string, error)
	var wants string
	switch s.ChallengeName {
	case "SMS_MFA", "SMS_OTP", "EMAIL_OTP", "SOFTWARE_TOKEN_MFA":
		code := factorName(s.ChallengeName)
		wants = "a " + code
		ask = c.askCode(s.ChallengeName+"_CODE", "The "+code+sentTo(s.ChallengeParameters)+": ")
	case "SELECT_MFA_TYPE":
		wants = "a choice of second factor"
		ask = c.askFactor(s.ChallengeParameters["MFAS_CAN_CHOOSE"])
	case "NEW_PASSWORD_REQUIRED":
		wants = "a new password"
		ask = c.askNewPassword(s.ChallengeParameters["requiredAttributes"])
	case "":
		return nil, &Error{Kind: Unreachable, Message: c.host() + " sent neither tokens nor a challenge", Hint: outage}
	default:
		return nil, &Error{Kind: Denied, Message: fmt.Sprintf("this account asks for %s, which villapay cannot answer", s.ChallengeName), Hint: "sign in with a browser: villapay login --web -e " + c.pool.Env}
	}
	if c.prompt == nil {
		return nil, &Error{
			Kind: NotSignedIn, Message: fmt.Sprintf("this account asks for %s (%s), and nobody can be asked here", wants, s.ChallengeName),
			Hint: "sign in at a terminal, set VILLAPAY_TOKEN, or use an account without a second factor",
		}
	}
	return ask, nil
}

func sentTo(params map[string]string) string {
	if to := params["CODE_DELIVERY_DESTINATION"]; to != "" {
		return " to " + sanitize.Text(to)
	}
	return ""
}

func (c *Client) askCode(key, label string) func(context.Context) (map[string]string, error) {
	return func(ctx context.Context) (map[string]string, error) {
		typed, err := c.prompt.Line(ctx, label)
		if err != nil {
			return nil, err
		}
		return map[string]string{key: strings.Join(strings.Fields(typed), "")}, nil
	}
}

func (c *Client) askFactor(choices string) func(context.Context) (map[string]string, error) {
	return func(ctx context.Context) (map[string]string, error) {
		var factors []string
		if err := json.Unmarshal([]byte(choices), &factors); err != nil || len(factors) == 0 {
			return nil, &Error{Kind: Unreachable, Message: c.host() + " offers a choice of second factors but names none", Hint: outage}
		}
		names := make([]string, len(factors))
		for i, factor := range factors {
			names[i] = factorName(factor)
		}
		chosen, err := c.prompt.Choose(ctx, "Which second factor", names)
		if err != nil {
			return nil, err
		}
		return map[string]string{"ANSWER": factors[chosen]}, nil
	}
}

func factorName(factor string) string {
	switch factor {
	case "SMS_MFA", "SMS_OTP":
		return "code sent by SMS"
	case "EMAIL_OTP":
		return "code sent by email"
	case "SOFTWARE_TOKEN_MFA":
		return "code from your authenticator app"
	}
	return sanitize.Text(factor)
}

// askNewPassword asks for a password twice, and for the attributes that the pool
// requires (a JSON list of "userAttributes.NAME").
func (c *Client) askNewPassword(required string) func(context.Context) (map[string]string, error) {
	return func(ctx context.Context) (map[string]string, error) {
		c.prompt.Note("this account needs a new password")
		password, err := c.chooseNewPassword(ctx)
		if err != nil {
			return nil, err
		}
		answers := map[string]string{"NEW_PASSWORD": password.Reveal()}
		var attributes []string
		_ = json.Unmarshal([]byte(required), &attributes) // absent or odd: nothing more to ask
		for _, attribute := range attributes {
			name := strings.TrimPrefix(attribute, "userAttributes.")
			if answers["userAttributes."+name], err = c.prompt.Line(ctx, sanitize.Text(name)+": "); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}
}

func (c *Client) chooseNewPassword(ctx context.Context) (secret.String, error) {
	for range maxTries {
		first, err := c.prompt.Secret(ctx, "New password (hidden): ")
		if err != nil {
			return secret.String{}, err
		}
		again, err := c.prompt.Secret(ctx, "New password again (hidden): ")
		if err != nil {
			return secret.String{}, err
		}
		if !first.Empty() && first.Reveal() == again.Reveal() {
			return first, nil
		}
		c.prompt.Note("the two passwords differ")
	}
	return secret.String{}, &Error{Kind: Denied, Message: "no new password was chosen", Hint: startAgain}
}
