package cognito

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// noon is when tests happen, unless they wait.
var noon = time.Date(2025, 5, 30, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// testKey is made once: a key takes longer than most tests.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newPool(t *testing.T, opts Options) (*Pool, *clock) {
	t.Helper()
	c := &clock{t: noon}
	if opts.Now == nil {
		opts.Now = c.now
	}
	p, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if p.key == nil {
		if p.key, err = testKey(); err != nil {
			t.Fatal(err)
		}
	}
	return p, c
}

// app is a hand-written Cognito client, talking to the handler itself.
type app struct {
	t          *testing.T
	p          *Pool
	id, secret string
}

func newApp(t *testing.T, p *Pool, id string) app {
	t.Helper()
	a := app{t: t, p: p, id: id}
	if id == ConfidentialID {
		a.secret = ConfidentialSecret
	}
	return a
}

// answer is what any call can come back with.
type answer struct {
	Type                 string `json:"__type"`
	Message              string `json:"message"`
	ChallengeName        string
	ChallengeParameters  map[string]string
	Session              string
	AuthenticationResult *struct {
		AccessToken, IdToken, RefreshToken, TokenType string //nolint:revive // AWS's name
		ExpiresIn                                     int
		NewDeviceMetadata                             newDevice
	}
	UserConfirmationNecessary bool
	Username                  string
	UserAttributes            []struct{ Name, Value string }
	UserMFASettingList        []string

	status int
	header http.Header
}

func (a app) call(operation string, in map[string]any) answer {
	a.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		a.t.Fatal(err)
	}
	w := a.post(operation, body)
	out := answer{status: w.Code, header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		a.t.Fatalf("%s answered %q: %v", operation, w.Body, err)
	}
	if out.Type != "" && out.header.Get("X-Amzn-ErrorType") != out.Type+":" {
		a.t.Errorf("error type header %q, body %q", out.header.Get("X-Amzn-ErrorType"), out.Type)
	}
	return out
}

func (a app) post(operation string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9999/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	w := httptest.NewRecorder()
	a.p.ServeHTTP(w, r)
	return w
}

func (a app) hash(name string) string {
	mac := hmac.New(sha256.New, []byte(a.secret))
	mac.Write([]byte(name + a.id))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// withHash adds the secret hash for name where the client needs one.
func (a app) withHash(name string, params map[string]string) map[string]string {
	if a.secret != "" {
		params["SECRET_HASH"] = a.hash(name)
	}
	return params
}

func (a app) initiate(flow string, params map[string]string) answer {
	a.t.Helper()
	return a.call("InitiateAuth", map[string]any{"ClientId": a.id, "AuthFlow": flow, "AuthParameters": params})
}

func (a app) password(name, password string) answer {
	a.t.Helper()
	return a.initiate("USER_PASSWORD_AUTH", a.withHash(name, map[string]string{"USERNAME": name, "PASSWORD": password}))
}

// respond answers the challenge in last with the given parameters.
func (a app) respond(last answer, params map[string]string) answer {
	a.t.Helper()
	user := last.ChallengeParameters["USER_ID_FOR_SRP"]
	params["USERNAME"] = user
	return a.call("RespondToAuthChallenge", map[string]any{
		"ClientId": a.id, "ChallengeName": last.ChallengeName, "Session": last.Session,
		"ChallengeResponses": a.withHash(user, params),
	})
}

func (a app) refresh(token string) answer {
	a.t.Helper()
	in := map[string]any{"ClientId": a.id, "RefreshToken": token}
	if a.secret != "" {
		in["ClientSecret"] = a.secret
	}
	return a.call("GetTokensFromRefreshToken", in)
}

// srp is the client's half of SRP, written apart from the server's.
type srp struct {
	pool, user, password string
	a, bigA              *big.Int
}

func newSRP(t *testing.T, user, password string) srp {
	t.Helper()
	a, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 256))
	if err != nil {
		t.Fatal(err)
	}
	return srp{poolName, user, password, a, new(big.Int).Exp(big.NewInt(2), a, srpN())}
}

func (s srp) sign(t *testing.T, salt, bigB string, block []byte, timestamp string) string {
	t.Helper()
	javaBytes := func(n *big.Int) []byte {
		size := n.BitLen()/8 + 1 // room for a sign
		return n.FillBytes(make([]byte, size))
	}
	sum := func(parts ...[]byte) *big.Int {
		h := sha256.Sum256(bytes.Join(parts, nil))
		return new(big.Int).SetBytes(h[:])
	}
	n, g := srpN(), big.NewInt(2)
	k := sum(javaBytes(n), javaBytes(g))
	b := mustHex(t, bigB)
	u := sum(javaBytes(s.bigA), javaBytes(b))
	inner := sha256.Sum256([]byte(s.pool + s.user + ":" + s.password))
	x := sum(javaBytes(mustHex(t, salt)), inner[:])
	base := new(big.Int).Sub(b, new(big.Int).Mul(k, new(big.Int).Exp(g, x, n)))
	key := new(big.Int).Exp(base.Mod(base, n), new(big.Int).Add(s.a, new(big.Int).Mul(u, x)), n)
	secret, err := hkdf.Key(sha256.New, javaBytes(key), javaBytes(u), "Caldera Derived Key", 16)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(append([]byte(s.pool+s.user), append(bytes.Clone(block), timestamp...)...))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func mustHex(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		t.Fatalf("not hex: %q", s)
	}
	return n
}

const awsTime = "Mon Jan 2 15:04:05 MST 2006"

// srpFlow signs in with SRP up to whatever comes after the password.
func (a app) srpFlow(name, password string) answer {
	a.t.Helper()
	first, responses := a.srpClaim(name, password)
	if first.Type != "" {
		return first
	}
	return a.respond(first, responses)
}

// srpClaim starts SRP and computes the proof, but does not send it.
func (a app) srpClaim(name, password string) (answer, map[string]string) {
	a.t.Helper()
	s := newSRP(a.t, name, password)
	first := a.initiate("USER_SRP_AUTH", a.withHash(name, map[string]string{"USERNAME": name, "SRP_A": s.bigA.Text(16)}))
	if first.Type != "" {
		return first, nil
	}
	params := first.ChallengeParameters
	s.user = params["USER_ID_FOR_SRP"]
	block, err := base64.StdEncoding.DecodeString(params["SECRET_BLOCK"])
	if err != nil {
		a.t.Fatal(err)
	}
	now := a.p.now().Format(awsTime)
	return first, map[string]string{
		"PASSWORD_CLAIM_SECRET_BLOCK": params["SECRET_BLOCK"],
		"PASSWORD_CLAIM_SIGNATURE":    s.sign(a.t, params["SALT"], params["SRP_B"], block, now),
		"TIMESTAMP":                   now,
	}
}

// signedIn fails the test unless out holds tokens.
func (a app) signedIn(out answer) answer {
	a.t.Helper()
	if out.AuthenticationResult == nil {
		a.t.Fatalf("not signed in: %s %s, challenge %q", out.Type, out.Message, out.ChallengeName)
	}
	return out
}

// wantError fails the test unless out is this error.
func wantError(t *testing.T, out answer, kind, message string) {
	t.Helper()
	if out.status != http.StatusBadRequest || out.Type != kind || out.Message != message {
		t.Errorf("answer %d %q %q, want 400 %q %q", out.status, out.Type, out.Message, kind, message)
	}
}

func payload(t *testing.T, token string) claims {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatalf("not a token: %q: %v", token, err)
	}
	var c claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		t.Fatal(err)
	}
	return c
}
