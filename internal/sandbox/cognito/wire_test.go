package cognito

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWire(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	const target = "AWSCognitoIdentityProviderService.InitiateAuth"
	for name, test := range map[string]struct {
		target, kind, body string
		status             int
		errorType          string
	}{
		"unknown call":   {"AWSCognitoIdentityProviderService.CreateUserPool", jsonType, "{}", 400, "UnknownOperationException"},
		"other service":  {"AWSCognitoIdentityService.GetId", jsonType, "{}", 400, "UnknownOperationException"},
		"no target":      {"", jsonType, "{}", 400, "UnknownOperationException"},
		"plain JSON":     {target, "application/json", "{}", 400, "UnknownOperationException"},
		"no type":        {target, "", "{}", 400, "UnknownOperationException"},
		"not JSON":       {target, jsonType, "{", 400, "SerializationException"},
		"trailing text":  {target, jsonType, "{}{}", 400, "SerializationException"},
		"not an object":  {target, jsonType, "[]", 400, "SerializationException"},
		"wrong type":     {target, jsonType, `{"ClientId":1}`, 400, "SerializationException"},
		"wrong map type": {target, jsonType, `{"AuthParameters":{"USERNAME":["x"]}}`, 400, "SerializationException"},
		"wrong case":     {target, jsonType, `{"clientId":"villapay-sandbox"}`, 400, badParam},
		"large body":     {target, jsonType, `{"ClientId":"` + strings.Repeat("x", maxBody) + `"}`, 413, "RequestEntityTooLargeException"},
		"with charset":   {target, jsonType + "; charset=utf-8", `{"ClientId":"villapay-sandbox"}`, 400, badParam},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
		r.Header.Set("X-Amz-Target", test.target)
		r.Header.Set("Content-Type", test.kind)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), `"__type":"`+test.errorType+`"`) {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, test.status, test.errorType)
		}
		if h := w.Header(); h.Get("Content-Type") != jsonType || h.Get("X-Amzn-RequestId") == "" || h.Get("Date") != "Fri, 30 May 2025 12:00:00 GMT" {
			t.Errorf("%s: headers %v", name, h)
		}
	}
}

func TestBrowsersMayCall(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	r := httptest.NewRequest(http.MethodOptions, "/", nil)
	r.Header.Set("Access-Control-Request-Headers", "x-amz-target,content-type")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if h := w.Header(); w.Code != 200 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "x-amz-target,content-type" {
		t.Errorf("a browser's question: %d %v", w.Code, h)
	}
}

// Whatever is sent, the pool answers with JSON and a status it means.
func FuzzCall(f *testing.F) {
	operations := []string{"InitiateAuth", "RespondToAuthChallenge", "GetTokensFromRefreshToken", "RevokeToken", "GlobalSignOut", "GetUser", "ConfirmDevice", "UpdateDeviceStatus"}
	for _, body := range []string{
		`{"ClientId":"villapay-sandbox","AuthFlow":"USER_SRP_AUTH","AuthParameters":{"USERNAME":"ann","SRP_A":"abc","DEVICE_KEY":null}}`,
		`{"ClientId":"villapay-sandbox","AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{"USERNAME":"sms","PASSWORD":"Passw0rd!"}}`,
		`{"ClientId":"villapay-sandbox","ChallengeName":"SMS_MFA","Session":"x","ChallengeResponses":{"USERNAME":"sms","SMS_MFA_CODE":"123456"}}`,
		`{"ClientId":"villapay-sandbox","ChallengeName":"PASSWORD_VERIFIER","ChallengeResponses":{"USERNAME":"ann","TIMESTAMP":"Fri May 30 12:00:00 UTC 2025","PASSWORD_CLAIM_SECRET_BLOCK":"AA==","PASSWORD_CLAIM_SIGNATURE":"AA=="}}`,
		`{"ClientId":"villapay-grace","RefreshToken":"a.b.c.d.e","ClientSecret":null}`,
		`{"AccessToken":"eyJhbGciOiJSUzI1NiJ9.e30.AA"}`, `{"Token":"a.b","ClientId":"villapay-sandbox"}`, `null`, `{`, `{"AuthParameters":null}`,
	} {
		for op := range operations {
			f.Add(op, []byte(body))
		}
	}
	key, err := testKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, op int, body []byte) {
		p, _ := newPool(t, Options{})
		p.key = key
		w := app{t: t, p: p}.post(operations[uint(op)%uint(len(operations))], body)
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if w.Code == 200 && bytes.Contains(w.Body.Bytes(), []byte("__type")) || !bytes.HasPrefix(w.Body.Bytes(), []byte("{")) {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
