package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/ledger"
)

// noSuchOrder is an order that cannot exist: Villa's order IDs have only digits.
const noSuchOrder = "villapay-doctor"

// api asks the API for the status of an order that cannot exist. If the API itself
// says that there is none, base_url, the token and the status endpoint are right.
func (c *doctor) api(ctx context.Context, settings *config.Config, signIn check) []check {
	profile := settings.Profile
	if profile.Sandbox {
		return []check{ok("API", "embedded, always there"), ok("clock", "the embedded API uses the same clock")}
	}
	client, err := c.app.client(1)
	if err != nil && signIn.code != 0 {
		return []check{warning("API", "", "not asked: see sign-in"), warning("clock", "", "not compared: the API was not asked")}
	}
	if err != nil {
		return []check{failed("API", err), warning("clock", "", "not compared: the API was not asked")}
	}
	client.OnRetry = nil
	if signIn.code != 0 {
		client.Tokens = nil // still check that it can be reached
	}
	seen := &dated{next: client.Transport, now: c.app.Now}
	client.Transport = seen
	ctx, cancel := context.WithTimeout(ctx, profile.Timeout)
	defer cancel()
	err = client.Once(ctx, func(ctx context.Context) error {
		if profile.StatusPath != "" {
			_, _, err := client.Status(ctx, profile.StatusPath, noSuchOrder, nil)
			return err
		}
		req, err := client.Request(ctx, http.MethodGet, "/", nil)
		if err == nil {
			_, err = client.Do(req)
		}
		return err
	})
	answered := c.answer(profile, client.Tokens != nil, seen.took, err)
	if seen.date == "" && answered.code == exitUnavailable {
		return []check{answered, warning("clock", "", "not compared: the API was not reached")}
	}
	return []check{answered, clock(seen.at, seen.date)}
}

// dated records the time and the Date header of the last response.
type dated struct {
	next http.RoundTripper
	now  func() time.Time
	at   time.Time // midway between request and response
	took time.Duration
	date string
}

func (d *dated) RoundTrip(req *http.Request) (*http.Response, error) {
	start := d.now()
	res, err := d.next.RoundTrip(req)
	if err == nil {
		d.took = d.now().Sub(start)
		d.at, d.date = start.Add(d.took/2), res.Header.Get("Date")
	}
	return res, err
}

// answer interprets the API's response about the order that cannot exist.
func (c *doctor) answer(profile config.Profile, signedIn bool, took time.Duration, err error) check {
	const name = "API"
	away := fmt.Sprintf("reachable, %d ms away", took.Milliseconds())
	var call *api.Error
	switch errors.As(err, &call); {
	case err == nil && profile.StatusPath == "":
		return warning(name, "", "%s; base_url and the token are not checked, because status_path is empty", away)
	case err == nil, errors.Is(err, api.ErrNoOrder), call != nil && call.Kind == api.Rejected && !strings.HasPrefix(call.Code, "http_"):
		if signedIn {
			return ok(name, "%s; it takes the token", away)
		}
		return ok(name, "%s; it asked for no token", away)
	case errors.Is(err, api.ErrNoRoute):
		return warning(name, "check base_url in `villapay env show`; if it is right, the API has no status endpoint: villapay env set status_path '' --env "+profile.Name,
			"%s, but it has no path %s%s: base_url is wrong, or there is no status endpoint", away, profile.BaseURL, profile.StatusPath)
	case call != nil && call.Kind == api.Denied && !signedIn:
		return ok(name, "%s; not checked with a token, because you are not signed in", away)
	case call != nil && call.Status == 0:
		k := failed(name, err)
		k.Hint, k.code = cmp.Or(networkHint(err), "check the network, HTTPS_PROXY, and base_url in `villapay env show`"), exitUnavailable
		return k
	case call != nil && (call.Status >= 500 || call.Status == http.StatusTooManyRequests):
		k := failed(name, err)
		k.Hint = "try again later"
		return k
	case call != nil && call.Kind != api.Denied:
		k := failed(name, err)
		k.Message = fmt.Sprintf("%s, but another server answers there: %s", away, k.Message)
		k.Hint, k.code = "sign in to this network, or check base_url in `villapay env show`", exitUnavailable
		return k
	}
	return failed(name, err) // denied
}

// bank asks the bank about a charge that cannot exist, and reports whether the bank
// draws codes.
func (c *doctor) bank(ctx context.Context, settings *config.Config) (_ check, draws bool) {
	const name = "bank"
	profile := settings.Profile
	client, err := c.app.bankClient(ctx, 1)
	switch {
	case err != nil:
		return failed(name, err), false
	case profile.Sandbox:
		return ok(name, "embedded, always there"), client.Sof[profile.Source] != ""
	case profile.KBank.APIURL == "":
		return ok(name, "never asked: kbank.api_url is empty"), false
	case client == nil:
		k := ok(name, "no secret key: no payment code is drawn, the bank is not asked whether an order was paid, and notifications are checked only by checksum")
		k.Hint = "if you may have the merchant's secret key: villapay login --kbank-secret --env " + profile.Name
		return k, false
	}
	draws = client.Sof[profile.Source] != ""
	client.HTTP.OnRetry = nil
	ctx, cancel := context.WithTimeout(ctx, profile.Timeout)
	defer cancel()
	_, _, err = client.InquireCharge(ctx, noSuchOrder, noSuchOrder)
	var call *api.Error
	switch errors.As(err, &call); {
	case err == nil, errors.Is(err, kbank.ErrNoCharge) && call.Code != "no_such_route":
		return ok(name, "reachable; it takes the secret key"), draws
	case call != nil && call.Code == "no_such_route":
		return warning(name, "check kbank.api_url in `villapay env show`", "reachable, but %s is not the bank's API", profile.KBank.APIURL), draws
	case call != nil && call.Kind == api.Denied:
		k := failed(name, err)
		k.Message = "it does not accept the secret key: " + k.Message
		k.Hint = c.app.rightKey()
		return k, draws
	case call != nil && call.Kind == api.Rejected:
		return warning(name, "", "reachable, but the secret key could not be checked: %s", call), draws
	}
	k := failed(name, err)
	k.Hint, k.code = cmp.Or(networkHint(err), "check the network, and kbank.api_url in `villapay env show`"), exitUnavailable
	return k, draws
}

// merchants compares the merchant's digits in the keys and in the newest order. It
// reports false if there is nothing to compare.
func (c *doctor) merchants(ctx context.Context, settings *config.Config) (check, bool) {
	if settings.Profile.Sandbox {
		return check{}, false
	}
	const name, hint = "merchant", "ask Villa which merchant is yours, and set its keys"
	secretKey, _, _ := c.app.bankKey(ctx) // bank reports an invalid key
	publicKey, newest := settings.Profile.KBank.PublicKey, c.newestOrder(ctx, settings.Profile.Scope())
	switch {
	case kbank.OtherMerchant(secretKey.Reveal(), newest):
		return warning(name, hint, "the secret key and order %s belong to different merchants", newest), true
	case kbank.OtherMerchant(publicKey, newest):
		return warning(name, hint, "kbank.public_key and order %s belong to different merchants", newest), true
	case kbank.OtherMerchantKey(secretKey.Reveal(), publicKey):
		return warning(name, hint, "the secret key and kbank.public_key belong to different merchants"), true
	}
	known := 0
	for _, text := range []string{secretKey.Reveal(), publicKey, newest} {
		if text != "" {
			known++
		}
	}
	return ok(name, "the keys and the newest order belong to the same merchant, as far as can be checked"), known > 1
}

// newestOrder returns the newest bank order of a scope, "" if there is none.
func (c *doctor) newestOrder(ctx context.Context, scope string) string {
	if c.app.ledger == nil {
		return ""
	}
	for p, err := range c.app.ledger.List(ctx, ledger.Filter{Scope: scope, Limit: 20}) {
		if err != nil || p.BankOrderID != "" {
			return p.BankOrderID // the ledger check reports errors
		}
	}
	return ""
}

// maxSkew is the clock skew that tokens and countdowns tolerate.
const maxSkew = 2 * time.Minute

func clock(now time.Time, date string) check {
	server, err := http.ParseTime(date)
	if err != nil {
		return warning("clock", "", "the API states no time")
	}
	skew := now.Sub(server).Round(time.Second)
	if skew.Abs() > maxSkew {
		return warning("clock", "set this machine's clock: sign-in and expiry depend on it", "%s off from the API's", skew)
	}
	return ok("clock", "within %d s of the API's", int(skew.Abs().Seconds())+1)
}
