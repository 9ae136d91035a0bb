package auth

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/secret"
)

// TestCall holds the calls to the form that AWS documents: named by a header,
// unsigned, nothing empty in them.
func TestCall(t *testing.T) {
	t.Parallel()
	type call struct {
		Method, Path, Type, Target string
		Signed                     bool
		Body                       map[string]any
	}
	var got []call
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		c := call{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization") != "", nil}
		if err != nil || json.Unmarshal(text, &c.Body) != nil {
			t.Errorf("%s: %v", text, err)
		}
		got = append(got, c)
	}))
	defer server.Close()
	pool := UserPool{Env: "dev", Region: "r", UserPoolID: "r_x", ClientID: "abc", Endpoint: server.URL + "/"}
	session := Tokens{Access: secret.New("access"), Refresh: secret.New("refresh")}
	for range 2 {
		c := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {})
		if err := c.Revoke(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		pool.ClientSecret = secret.New("hidden")
	}
	if err := NewClient(pool, http.DefaultTransport, time.Now, nil, func(string) {}).SignOutEverywhere(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	form := func(target string, body map[string]any) call {
		return call{"POST", "/", "application/x-amz-json-1.1", "AWSCognitoIdentityProviderService." + target, false, body}
	}
	want := []call{
		form("RevokeToken", map[string]any{"ClientId": "abc", "Token": "refresh"}),
		form("RevokeToken", map[string]any{"ClientId": "abc", "Token": "refresh", "ClientSecret": "hidden"}),
		form("GlobalSignOut", map[string]any{"AccessToken": "access"}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReadRefusal finds the error's name wherever AWS and its proxies put it.
func TestReadRefusal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ header, body, code, message string }{
		{"", `{"__type":"CodeMismatchException","message":"no"}`, "CodeMismatchException", "no"},
		{"", `{"__type":"com.amazonaws.cognito#CodeMismatchException","Message":"no"}`, "CodeMismatchException", "no"},
		{"CodeMismatchException:http://internal.amazon.com/coral/", `{"__type":"Other"}`, "CodeMismatchException", ""},
		{"aws#CodeMismatchException:http://x/#y", ``, "CodeMismatchException", ""},
		{"CodeMismatchException", ``, "CodeMismatchException", ""},
		{"", `{"code":"CodeMismatchException"}`, "CodeMismatchException", ""},
		{"", `{"message":"no"}`, "UnknownError", "no"},
		{"", ``, "UnknownError", ""},
		{"", `{"__type":5}`, "", ""},
		{"CodeMismatchException", `<html>`, "", ""},
	} {
		resp := &http.Response{StatusCode: 400, Header: http.Header{}}
		if test.header != "" {
			resp.Header.Set("x-amzn-ErrorType", test.header)
		}
		want := apiError{400, test.code, test.message}
		if got := readError(resp, []byte(test.body)); *got != want {
			t.Errorf("%q, %s: %+v", test.header, test.body, *got)
		}
	}
}

func FuzzReadRefusal(f *testing.F) {
	f.Add("CodeMismatchException:http://x/", []byte(`{"__type":"a#b","message":"no"}`))
	f.Add("#", []byte(`{"code":":"}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		resp := &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Errortype": {header}}}
		if r := readError(resp, body); strings.ContainsAny(r.code, "#:") || r.status != 400 || json.Valid(body) && len(body) > 0 && body[0] == '{' && r.code == "" && r.message != "" {
			t.Errorf("%q, %s: %+v", header, body, r)
		}
	})
}
