package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/villapay/villapay/internal/secret"
)

// Password signs in with a username and a password: by SRP, and with the
// password itself only if the pool does not offer SRP. Challenges go to the
// prompter. Whatever is typed is sent once.
func (c *Client) Password(ctx context.Context, username string, password secret.String) (_ Tokens, err error) {
	defer c.redact(&err)
	c.hide(password)
	username = strings.TrimSpace(username)
	if username == "" || password.Empty() {
		return Tokens{}, &Error{Kind: Denied, Message: "signing in needs a username and a password", Hint: "give both, or sign in with `villapay login --web`"}
	}
	s, err := c.startPassword(ctx, username, password)
	if err != nil {
		return Tokens{}, err
	}
	return c.finish(ctx, username, s)
}

// startPassword proves the password to the pool, by SRP if it can.
func (c *Client) startPassword(ctx context.Context, username string, password secret.String) (step, error) {
	exchange := newSRP()
	s, err := c.initiate(ctx, "USER_SRP_AUTH", username, map[string]string{"SRP_A": exchange.publicHex()})
	if notOffered(err) {
		// Nothing was tried yet, so this is the first attempt at the password.
		s, err = c.initiate(ctx, "USER_PASSWORD_AUTH", username, map[string]string{"PASSWORD": password.Reveal()})
		if notOffered(err) {
			return step{}, &Error{
				Kind: Config, Message: "this app client allows sign-in neither by SRP nor by password",
				Hint: "use `villapay login --web`, or have ALLOW_USER_SRP_AUTH enabled on the app client",
			}
		}
	}
	if err != nil || s.ChallengeName != "PASSWORD_VERIFIER" {
		return s, c.explain(err)
	}
	return c.verifyPassword(ctx, exchange, username, password, s)
}

// notOffered reports whether the app client does not have the flow, by Cognito's
// message ("USER_SRP_AUTH is not enabled for the client.") or because an emulator
// lacks it. A wrong password is never among these: a second attempt would count
// towards the lock.
func notOffered(err error) bool {
	var response *apiError
	return saysUnknown(err) || errors.As(err, &response) && response.code == "InvalidParameterException" && strings.Contains(response.message, "not enabled")
}

func (c *Client) verifyPassword(ctx context.Context, exchange *srp, username string, password secret.String, s step) (step, error) {
	user := s.user(username)
	_, pool, _ := strings.Cut(c.pool.UserPoolID, "_")
	proof, err := exchange.prove(pool, user, password.Reveal(), s.ChallengeParameters, c.serverNow())
	if err != nil {
		return step{}, &Error{Kind: Unreachable, Message: "sign-in at " + c.host() + ": " + err.Error(), Hint: outage}
	}
	next, err := c.respond(ctx, user, s, map[string]string{
		"PASSWORD_CLAIM_SECRET_BLOCK": s.ChallengeParameters["SECRET_BLOCK"],
		"PASSWORD_CLAIM_SIGNATURE":    proof.signature,
		"TIMESTAMP":                   proof.timestamp,
	})
	return next, c.explain(err)
}

// user is the name to answer with: Cognito wants its own, not the alias that was
// typed.
func (s step) user(typed string) string {
	if name := s.ChallengeParameters["USER_ID_FOR_SRP"]; name != "" {
		return name
	}
	return typed
}

func (c *Client) initiate(ctx context.Context, flow, username string, params map[string]string) (next step, err error) {
	err = c.call(ctx, "InitiateAuth", map[string]any{
		"AuthFlow": flow, "ClientId": c.pool.ClientID, "AuthParameters": c.signed(username, params),
	}, &next)
	return next, err
}

func (c *Client) respond(ctx context.Context, username string, s step, answers map[string]string) (next step, err error) {
	err = c.call(ctx, "RespondToAuthChallenge", map[string]any{
		"ChallengeName": s.ChallengeName, "ClientId": c.pool.ClientID, "Session": s.Session, "ChallengeResponses": c.signed(username, answers),
	}, &next)
	return next, err
}

// signed adds the username and the client secret's proof to params.
func (c *Client) signed(username string, params map[string]string) map[string]string {
	params["USERNAME"] = username
	if hash := c.pool.secretHash(username); hash != "" {
		params["SECRET_HASH"] = hash
	}
	return params
}
