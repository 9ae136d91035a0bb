package checkout

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
)

//go:embed page.html
var source string

// maxForm bounds what a browser may post, in bytes. The bank's widget posts a
// few ids.
const maxForm = 16 << 10

// routes are the paths below the page's own.
func (s *Server) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"":       s.only(s.show, http.MethodGet, http.MethodHead),
		"state":  s.only(s.serveState, http.MethodGet),
		"return": s.only(s.back, http.MethodGet, http.MethodPost),
	}
	if s.page.Pay != nil {
		routes["pay"] = s.only(s.pay, http.MethodPost)
	}
	return routes
}

func (s *Server) only(handler http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			s.reject(w, r, http.StatusMethodNotAllowed)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		handler(w, r)
	}
}

// view is what the template shows.
type view struct {
	Lang, OtherLang, OtherName string
	Nonce, Form                string
	Shop, OrderID, BankOrderID string
	Amount, Currency           string // Amount with thousands' separators
	Plain                      string // the amount as the widget takes it
	Method                     string
	State                      pageState
	Now, ExpiresAt             string // for the script; "" = never
	Expires                    string // on Bangkok's clock, for those who run none
	Script, PublicKey          string // of the bank's widget
	Sandbox                    bool
	Code                       template.URL // the code's picture; "" if there is none to show
	Codes                      bool         // the page shows codes, and no widget
}

// show answers the page itself.
func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	p := s.page.Payment
	v := view{
		Nonce: rand.Text(), Form: s.form, Shop: s.page.ShopName, OrderID: p.OrderID, BankOrderID: p.BankOrderID,
		Amount: render.Money(p.Amount, ""), Currency: p.Currency, Plain: s.amount, Method: string(p.Source),
		State: s.pageState(), Script: s.page.ScriptURL, PublicKey: s.page.PublicKey, Sandbox: s.page.Pay != nil, Codes: s.codes,
	}
	if code := s.code(); code != nil {
		picture, err := render.SVG(code.Text)
		if err != nil {
			s.page.Log.Error("checkout code", "error", err)
		}
		v.Code = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(picture)) //nolint:gosec // our own picture
	}
	v.Lang, v.OtherLang, v.OtherName = "th", "en", "English"
	if english(r) {
		v.Lang, v.OtherLang, v.OtherName = "en", "th", "ภาษาไทย"
	}
	v.Now = v.State.Now.UTC().Format(time.RFC3339Nano)
	if !p.ExpiresAt.IsZero() {
		v.ExpiresAt = p.ExpiresAt.UTC().Format(time.RFC3339Nano)
		v.Expires = p.ExpiresAt.In(order.Bangkok).Format("15:04:05")
	}
	var out bytes.Buffer
	if err := s.html.Execute(&out, v); err != nil {
		s.page.Log.Error("checkout page", "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", s.policy(v.Nonce))
	_, _ = w.Write(out.Bytes())
}

// policy admits the page's own script and style and, outside the sandbox, the
// bank's host and no other. The bank's script styles what it adds inline, which
// no nonce covers; styles can load nothing that the policy does not admit.
func (s *Server) policy(nonce string) string {
	if s.bank == "" {
		return fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s'; style-src 'nonce-%[1]s'; img-src data:; connect-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'", nonce)
	}
	return fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s' %[2]s; style-src 'unsafe-inline' %[2]s; img-src data: %[2]s; "+
		"font-src data: %[2]s; connect-src 'self' %[2]s; frame-src %[2]s; form-action 'self' %[2]s; base-uri 'none'; frame-ancestors 'none'",
		nonce, s.bank)
}

// serveState answers what an open page asks every second.
func (s *Server) serveState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.pageState())
}

// pageState is the order's state for a page; clocks are the server's, so
// that a phone's own may be wrong.
type pageState struct {
	State     order.State `json:"state"`
	Thai      string      `json:"th"`
	English   string      `json:"en"`
	Final     bool        `json:"final"` // nothing is expected to change any more
	Now       time.Time   `json:"now"`
	ExpiresAt *time.Time  `json:"expires_at"`
	PaidAt    *time.Time  `json:"paid_at"`
	Code      string      `json:"code"` // the id of the code to show, "" for none
}

func (s *Server) pageState() pageState {
	p, now := s.known()
	words := wordsFor(now)
	t := pageState{State: now, Thai: words.thai, English: words.english, Final: words.final, Now: s.page.Now()}
	if expires := s.page.Payment.ExpiresAt; !expires.IsZero() {
		t.ExpiresAt = &expires
	}
	if !p.PaidAt.IsZero() {
		t.PaidAt = &p.PaidAt
	}
	if code := s.code(); code != nil {
		t.Code = code.ID
	}
	return t
}

// code is the bank's code that may be shown now; nil if there is none.
func (s *Server) code() *order.Held {
	p, now := s.known()
	if !s.codes || now != order.Awaiting {
		return nil
	}
	return p.LivingCode(s.page.Now())
}

// back is where the bank's widget sends the browser when the payer is done. It proves
// nothing, so nothing of it is read.
func (s *Server) back(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, s.path, http.StatusSeeOther)
}

// payWithin bounds the sandbox's pay button.
const payWithin = 10 * time.Second

// pay is the sandbox's pay button.
func (s *Server) pay(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(s.form)) != 1 {
		s.reject(w, r, http.StatusForbidden)
		return
	}
	if _, now := s.known(); now != order.Awaiting {
		s.back(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), payWithin)
	defer cancel()
	if err := s.page.Pay(ctx); err != nil {
		s.page.Log.Error("sandbox payment", "error", err)
		http.Error(w, "the sandbox could not pay the order", http.StatusBadGateway)
		return
	}
	s.back(w, r)
}

// english reports whether the reader prefers English to Thai: the address's lang
// first, then the browser's languages (RFC 9110, 12.5.4).
func english(r *http.Request) bool {
	if lang := r.URL.Query().Get("lang"); lang != "" {
		return lang == "en"
	}
	best := map[string]float64{}
	for tag := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(tag), ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		best[lang] = max(best[lang], weight)
	}
	return best["en"] > best["th"]
}
