package auth

import (
	"context"
	"errors"
	"time"
)

// interruptGrace is how long a refresh may take after Ctrl-C: giving up in the
// middle of one could lose a rotated refresh token.
const interruptGrace = 2 * time.Second

// Refresh gets new tokens for old ones by their refresh token, which a pool may
// replace at once (rotation). A session that has ended is [NotSignedIn].
func (c *Client) Refresh(ctx context.Context, old Tokens) (_ Tokens, err error) {
	defer c.redact(&err)
	ctx, cancel := outlive(ctx)
	defer cancel()
	at := c.now()
	result, err := c.exchange(ctx, old)
	if err != nil {
		return Tokens{}, c.refreshFailed(err)
	}
	if result == nil {
		return Tokens{}, c.unreachable(errors.New("no tokens in the answer"))
	}
	fresh, err := c.receive(ctx, *result, "", at)
	if err != nil {
		return Tokens{}, err
	}
	fresh.Device = old.Device
	if fresh.Refresh.Empty() {
		fresh.Refresh = old.Refresh
	}
	return fresh, nil
}

// outlive returns a context that ends interruptGrace after ctx.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(interruptGrace, cancel) })
	return inner, func() { stop(); cancel() }
}

// exchange tries the call that works with and without rotation, and the older
// one only if the server does not know it.
func (c *Client) exchange(ctx context.Context, old Tokens) (*authResult, error) {
	var out step
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
	return s.AuthenticationResult, err
}

// refreshFailed explains a failed refresh. A reused refresh token ends a session
// as an expired one does.
func (c *Client) refreshFailed(err error) error {
	switch code(err) {
	case "RefreshTokenReuseException":
		return c.ended()
	case "InvalidParameterException":
		return &Error{Kind: Config, Message: "this app client may not refresh sessions", Hint: "have refresh tokens enabled on the app client"}
	}
	err = c.explain(err)
	var authErr *Error
	if errors.As(err, &authErr) && authErr.Kind == Denied && authErr.Hint == "" {
		authErr.Hint = c.login()
	}
	return err
}

// Revoke ends the session at the pool: its refresh token gets no more tokens.
// ID tokens already given out live until they expire.
func (c *Client) Revoke(ctx context.Context, t Tokens) (err error) {
	defer c.redact(&err)
	err = c.call(ctx, "RevokeToken", map[string]any{
		"ClientId": c.pool.ClientID, "ClientSecret": c.pool.ClientSecret.Reveal(), "Token": t.Refresh.Reveal(),
	}, nil)
	return c.explain(err)
}

// SignOutEverywhere ends every session of the user, on all devices. It needs an
// access token that has not expired.
func (c *Client) SignOutEverywhere(ctx context.Context, t Tokens) (err error) {
	defer c.redact(&err)
	err = c.call(ctx, "GlobalSignOut", map[string]any{"AccessToken": t.Access.Reveal()}, nil)
	if unknownCall(err) {
		return &Error{Kind: Config, Message: c.host() + " cannot sign out on all devices", Hint: "sign out here: villapay logout -e " + c.pool.Env}
	}
	return c.explain(err)
}
