package cognito

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/villapay/villapay/internal/testchrome"
)

// The pages work in a real browser, which holds them to their own policy: the
// style applies, and the form may lead to the application.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser := testchrome.Launch(t)
	came := make(chan url.Values, 1)
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			came <- r.URL.Query()
		}
	}))
	defer application.Close()
	p, _ := newPool(t, Options{Now: time.Now, Callbacks: []string{application.URL + "/callback"}})
	server := httptest.NewServer(p)
	defer server.Close()
	conf := oauth2.Config{
		ClientID: ClientID, RedirectURL: application.URL + "/callback", Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{AuthURL: server.URL + "/oauth2/authorize", TokenURL: server.URL + "/oauth2/token"},
	}
	verifier := oauth2.GenerateVerifier()
	page := browser.Open(conf.AuthCodeURL("some state", oauth2.S256ChallengeOption(verifier)), testchrome.View{})
	signIn := func(with string) {
		page.Eval(`document.getElementById("username").value = ""`)
		page.Type("#username", "ann")
		page.Type("#password", with)
		page.Click("#signin")
	}
	if color := page.Eval(`getComputedStyle(document.getElementById("signin")).backgroundColor`); color != "rgb(11, 90, 42)" {
		t.Errorf("the style does not apply: the button is %v", color)
	}
	signIn("wrong")
	page.WaitFor("#error", "ncorrect")
	signIn(password)
	select {
	case q := <-came:
		if q.Get("state") != "some state" {
			t.Errorf("the browser came back with %v", q)
		}
		if _, err := conf.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier)); err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the browser never came back: %s", page.Text("body"))
	}

	q := url.Values{"client_id": {ClientID}, "redirect_uri": {"http://127.0.0.1:1/callback"}}
	browser.Open(server.URL+"/oauth2/authorize?"+q.Encode(), testchrome.View{}).WaitFor("#error", "redirect_mismatch")
}
