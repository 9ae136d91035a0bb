package cognito

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	p.FailNext(2, Fault{})
	for range 2 {
		if out := a.password("ann", password); out.status != 503 || out.Type != "ServiceUnavailableException" {
			t.Errorf("answer %d %s", out.status, out.Type)
		}
	}
	a.signedIn(a.password("ann", password))
	p.FailNext(1, Fault{Status: 400, Type: "TooManyRequestsException", Message: "Rate exceeded"})
	wantError(t, a.password("ann", password), "TooManyRequestsException", "Rate exceeded")
}

func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t, Options{})
		p.SetDelay(3 * time.Second)
		a := newApp(t, p, ClientID)
		start := time.Now()
		wantError(t, a.password("ann", "wrong"), notAllowed, wrongText)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil).WithContext(ctx))
		if d := time.Since(start); d != 4*time.Second || w.Body.Len() > 0 {
			t.Errorf("answered a client that had gone, after %v: %s", d, w.Body)
		}
		p.SetDelay(0)
		wantError(t, a.password("ann", "wrong"), notAllowed, wrongText)
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("still slow: %v", d)
		}
	})
}
