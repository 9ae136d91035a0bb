package cognito

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	p, c := newPool(t, Options{Issuer: "https://sign.in"})
	a := newApp(t, p, ClientID)
	good := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
	visitor := a.signedIn(a.srpFlow("visitor", password)).AuthenticationResult.IdToken
	parts := strings.Split(good.IdToken, ".")

	elsewhere, _ := newPool(t, Options{Issuer: "https://other.example"}) // the same key, another issuer
	b := newApp(t, elsewhere, ClientID)
	foreign := b.signedIn(b.srpFlow("ann", password)).AuthenticationResult.IdToken
	stranger, _ := newPool(t, Options{Issuer: "https://sign.in"})
	var err error
	if stranger.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	b = newApp(t, stranger, ClientID)
	forged := b.signedIn(b.srpFlow("ann", password)).AuthenticationResult.IdToken
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"` + jwk(p.key).KeyID + `"}`))

	const unauthorized = "Unauthorized"
	check := func(name, authorization string, wantStatus int, want string) {
		t.Helper()
		if status, message := p.Check(authorization); status != wantStatus || message != want {
			t.Errorf("%s: %d %q, want %d %q", name, status, message, wantStatus, want)
		}
	}
	check("raw", good.IdToken, 0, "")
	check("Bearer", "Bearer "+good.IdToken, 0, "")
	check("bearer", " bearer  "+good.IdToken+" ", 0, "")
	check("nothing", "", 401, unauthorized)
	check("Bearer alone", "Bearer", 401, unauthorized)
	check("Basic", "Basic "+good.IdToken, 401, unauthorized)
	check("access token", good.AccessToken, 401, unauthorized)
	check("refresh token", good.RefreshToken, 401, unauthorized)
	check("cut short", good.IdToken[:len(good.IdToken)-2], 401, unauthorized)
	check("other payload", parts[0]+"."+strings.Split(visitor, ".")[1]+"."+parts[2], 401, unauthorized)
	check("no signature", none+"."+parts[1]+".", 401, unauthorized)
	check("another key", forged, 401, unauthorized)
	check("another issuer", foreign, 401, unauthorized)
	check("not allowed", visitor, 403, "User is not authorized to access this resource")
	c.add(time.Hour - time.Second)
	check("last second", good.IdToken, 0, "")
	c.add(time.Second)
	check("expired", good.IdToken, 401, "The incoming token has expired")
	check("expired and forged", forged, 401, unauthorized)
}
