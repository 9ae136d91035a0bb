package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// recordWithin bounds the recording of one event. It ends before a stopping
// server cuts connections (package serve), so that no event is recorded whose
// sender could not have been answered.
const recordWithin = 5 * time.Second

// probeEvery is how often /healthz tries the ledger at most, so that nobody can
// keep it busy by asking.
const probeEvery = 5 * time.Second

// Ledger is what the listener needs of a ledger.Ledger.
type Ledger interface {
	RecordReport(ctx context.Context, scope string, r order.Report, beside ...order.Report) (ledger.Recorded, error)
}

// Listener is the http.Handler that the bank posts its notifications to. Its
// fields are set once; it is then safe for concurrent use.
//
// A sender learns only whether to send again: 200 the ledger has it, 400 and
// 413 never again, 503 later. Why one was rejected goes to Log.
type Listener struct {
	Ledger Ledger
	Scope  string        // whose orders the notifications are about
	Key    secret.String // the merchant's; without one everything is rejected
	Path   string        // the only path that takes notifications, such as /
	Now    func() time.Time
	Log    *slog.Logger

	// Each gets every verified event once it is durable and before its sender is
	// answered: a slow consumer slows the bank down and loses nothing. It is never
	// called twice at once. After it fails, nothing is acknowledged any more.
	Each func(Event) error
	// Inquire asks the bank about a charge that is said to be paid, before that is
	// recorded; nil without the bank's key. No reports without an error say that the
	// bank knows no such charge.
	Inquire func(ctx context.Context, chargeID string) ([]order.Report, error)
	// Rejected gets a summary of what was rejected, once a minute at most. May be nil.
	Rejected func(summary string)
	// Ready checks that the ledger can be written, for /healthz. May be nil.
	Ready func(ctx context.Context) error

	each    sync.Mutex
	ended   bool // Each has failed
	rejects rejections
	probe   struct {
		sync.Mutex
		at  time.Time
		err error
	}
}

// Event is a notification that the bank has signed and the ledger has taken.
type Event struct {
	At           time.Time // when it was received
	Notification Notification
	Recorded     ledger.Recorded
}

// MarshalJSON writes the notification as it came, with what the tool knows
// about it under the key villapay, as payments are written.
func (e Event) MarshalJSON() ([]byte, error) {
	payment := e.Recorded.Payment
	known := struct {
		ReceivedAt string          `json:"received_at"`
		OrderID    *string         `json:"orderid"` // the Villa order; null if no order is recorded yet
		State      *order.State    `json:"state"`   // of its payment, with this event
		Changed    bool            `json:"changed"` // the state is another than before
		Repeat     bool            `json:"repeat"`  // received before
		Warnings   []order.Warning `json:"warnings"`
	}{
		ReceivedAt: e.At.In(order.Bangkok).Format("2006-01-02T15:04:05.000-07:00"),
		Changed:    e.Recorded.Changed, Repeat: e.Recorded.Repeat, Warnings: e.Recorded.Warnings,
	}
	if !e.Recorded.Unknown {
		known.OrderID, known.State = &payment.OrderID, &payment.State
	}
	if known.Warnings == nil {
		known.Warnings = []order.Warning{}
	}
	return set(e.Notification.Raw, "villapay", known)
}

// ServeHTTP takes notifications at Path and answers GET /healthz.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.URL.Path == l.Path && r.Method == http.MethodPost:
		l.receive(w, r)
	case r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		l.health(w, r)
	case r.URL.Path == l.Path:
		w.Header().Set("Allow", http.MethodPost)
		l.reject(w, r, http.StatusMethodNotAllowed, nil)
	case r.URL.Path == "/healthz":
		w.Header().Set("Allow", "GET, HEAD")
		l.reject(w, r, http.StatusMethodNotAllowed, nil)
	default:
		l.reject(w, r, http.StatusNotFound, nil)
	}
}

// receive takes one notification: read, verify, record, hand on, answer.
func (l *Listener) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		l.reject(w, r, unreadable(err), err)
		return
	}
	n, err := Decode(body)
	if err == nil {
		err = Verify(n, l.Key)
	}
	switch {
	case errors.Is(err, ErrNoKey):
		l.reject(w, r, http.StatusServiceUnavailable, err)
		return
	case err != nil:
		l.reject(w, r, http.StatusBadRequest, err)
		return
	}
	// A sender that hangs up does not stop what it began.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordWithin)
	defer cancel()
	report := n.Report()
	recorded, err := l.Ledger.RecordReport(ctx, l.Scope, report, l.inquire(ctx, report)...)
	if err == nil {
		err = l.pass(Event{At: l.Now(), Notification: n, Recorded: recorded})
	}
	if err != nil {
		l.reject(w, r, http.StatusServiceUnavailable, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// inquireWithin bounds the question to the bank about one notification.
const inquireWithin = 3 * time.Second

// inquire is what the bank says about a charge that is said to be paid; nothing if
// it cannot be asked. If the bank knows none with its id, what was signed may be
// about another one.
func (l *Listener) inquire(ctx context.Context, r order.Report) []order.Report {
	if state := order.Transaction(r.TransactionState); l.Inquire == nil || state != order.Authorized && state != order.Settled {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inquireWithin)
	defer cancel()
	for _, id := range append([]string{r.ChargeID}, r.Readings()...) {
		said, err := l.Inquire(ctx, id)
		if err != nil {
			l.Log.Warn("the bank could not be asked about a charge", "charge", id, "error", brief(err.Error()))
			return nil
		}
		if len(said) > 0 {
			return said
		}
	}
	return nil
}

// unreadable is the answer to a body that could not be read.
func unreadable(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

var errEnded = errors.New("nobody reads the events any more")

// pass hands an event on.
func (l *Listener) pass(e Event) error {
	l.Log.Info("notification", "charge", e.Notification.ID, "bank_order", e.Notification.OrderID,
		"transaction_state", e.Notification.TransactionState, "order", e.Recorded.Payment.OrderID,
		"state", e.Recorded.Payment.State, "repeat", e.Recorded.Repeat)
	l.each.Lock()
	defer l.each.Unlock()
	if l.ended {
		return errEnded
	}
	if l.Each == nil {
		return nil
	}
	err := l.Each(e)
	l.ended = err != nil
	return err
}

// reject answers without saying why. What is wrong with the request is summed up;
// what is wrong here goes into the log.
func (l *Listener) reject(w http.ResponseWriter, r *http.Request, status int, why error) {
	reason := ""
	if why != nil {
		reason = brief(why.Error())
	}
	if status >= http.StatusInternalServerError {
		w.Header().Set("Retry-After", "5")
		l.Log.Error("notification not taken", "status", status, "path", brief(r.URL.Path), "from", r.RemoteAddr, "error", reason)
	} else if summary := l.rejects.add(l.Now(), fmt.Sprintf("%d %s from %s %s", status, brief(r.URL.Path), r.RemoteAddr, reason)); summary != "" {
		l.Log.Warn(summary)
		if l.Rejected != nil {
			l.Rejected(summary)
		}
	}
	http.Error(w, http.StatusText(status), status)
}

// sumUpEvery is how often rejections are summed up at most, so that a stranger fills
// neither the log nor the terminal.
const sumUpEvery = time.Minute

// rejections counts what was rejected since the last summary.
type rejections struct {
	mu    sync.Mutex
	count int
	last  time.Time // of the last summary
}

// add counts a rejection, and returns a summary if one is due.
func (r *rejections) add(now time.Time, what string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if !r.last.IsZero() && now.Sub(r.last) < sumUpEvery {
		return ""
	}
	summary := "rejected a request: " + what
	if r.count > 1 {
		summary = fmt.Sprintf("rejected %d requests, the last one: %s", r.count, what)
	}
	r.count, r.last = 0, now
	return strings.TrimSpace(summary)
}

// brief keeps what a stranger sends from filling the log, which holds little.
func brief(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// health answers whether notifications can be taken now.
func (l *Listener) health(w http.ResponseWriter, r *http.Request) {
	if err := l.ready(r.Context()); err != nil {
		l.reject(w, r, http.StatusServiceUnavailable, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func (l *Listener) ready(ctx context.Context) error {
	if l.Key.Empty() {
		return ErrNoKey
	}
	if l.Ready == nil {
		return nil
	}
	l.probe.Lock()
	defer l.probe.Unlock()
	if now := l.Now(); l.probe.at.IsZero() || now.Sub(l.probe.at) >= probeEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
		defer cancel()
		l.probe.at, l.probe.err = now, l.Ready(ctx)
	}
	return l.probe.err
}
