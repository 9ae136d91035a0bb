package auth

import (
	"context"
	"errors"
	"time"
)

// interruptGrace is how long an interrupted renewal may still take: giving up
// in the middle of one could lose a rotated refresh token.
const interruptGrace = 2 * time.Second

// Renew gets new tokens for old ones by their refresh token, which a pool may
// replace at once (rotation). A session that has ended is [NotSignedIn].
func (c *Client) Renew(ctx context.Context, old Tokens) (Tokens, error) {
	if err := c.ready(); err != nil {
		return Tokens{}, err
	}
	ctx, cancel := outlive(ctx, interruptGrace, callLimit)
	defer cancel()
	at := c.now()
	result, err := c.exchange(ctx, old)
	if err != nil {
		return Tokens{}, c.renewalFailed(err, old)
	}
	if result == nil {
		return Tokens{}, c.unreachable(errors.New("no tokens in the answer"))
	}
	g := granted(result, at)
	if g.refresh == "" {
		g.refresh = old.Refresh.Reveal()
	}
	if g.device == "" {
		g.device = old.Device
	}
	return c.receive(ctx, g)
}

// outlive is a context that ends after limit, or after grace once ctx has ended.
func outlive(ctx context.Context, grace, limit time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-inner.Done():
		}
	})
	return inner, func() { stop(); cancel() }
}

// exchange asks with the call that works with and without rotation, and with
// the older one only where the server does not know the newer.
func (c *Client) exchange(ctx context.Context, old Tokens) (*result, error) {
	var out answer
	err := c.call(ctx, "GetTokensFromRefreshToken", map[string]any{
		"ClientId": c.pool.ClientID, "ClientSecret": c.pool.ClientSecret.Reveal(),
		"RefreshToken": old.Refresh.Reveal(), "DeviceKey": old.Device,
	}, &out)
	if err == nil {
		return out.AuthenticationResult, nil
	}
	if !unknownCall(err) {
		return nil, err
	}
	params := map[string]string{"REFRESH_TOKEN": old.Refresh.Reveal()}
	if old.Device != "" {
		params["DEVICE_KEY"] = old.Device
	}
	s, err := c.initiate(ctx, "REFRESH_TOKEN_AUTH", old.Username, params)
	return s.result, err
}

// renewalFailed explains a failed renewal. A reused refresh token is the end of
// a session as much as an expired one.
func (c *Client) renewalFailed(err error, old Tokens) error {
	switch code(err) {
	case "RefreshTokenReuseException":
		return c.ended()
	case "InvalidParameterException":
		// With rotation on, the older call is refused: an emulator would have to be odd to get here.
		return &Error{Kind: Config, Code: code(err), Message: "sign-in refuses to renew sessions of this app client", Hint: "have refresh tokens enabled on the app client"}
	}
	err = c.explain(err, old.Refresh, old.Access, old.ID)
	var told *Error
	if errors.As(err, &told) && told.Kind == Denied && told.Hint == "" {
		told.Hint = c.login()
	}
	return err
}

// Revoke ends the session at the pool: its refresh token gets no more tokens.
// ID tokens already given out live until they expire.
func (c *Client) Revoke(ctx context.Context, t Tokens) error {
	if err := c.ready(); err != nil {
		return err
	}
	err := c.call(ctx, "RevokeToken", map[string]any{
		"ClientId": c.pool.ClientID, "ClientSecret": c.pool.ClientSecret.Reveal(), "Token": t.Refresh.Reveal(),
	}, nil)
	return c.explain(err, t.Refresh)
}

// SignOutEverywhere ends every session of the user, on all devices. It needs an
// access token that has not expired.
func (c *Client) SignOutEverywhere(ctx context.Context, t Tokens) error {
	if err := c.ready(); err != nil {
		return err
	}
	err := c.call(ctx, "GlobalSignOut", map[string]any{"AccessToken": t.Access.Reveal()}, nil)
	if unknownCall(err) {
		return &Error{Kind: Config, Code: code(err), Message: c.host() + " cannot sign out on all devices", Hint: "sign out here: villapay logout -e " + c.pool.Env}
	}
	return c.explain(err, t.Access)
}
