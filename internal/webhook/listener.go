package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// One event is recorded within recordTimeout, after the bank was asked about it within
// inquireTimeout; then its payment is read again within refreshTimeout. Together they are
// shorter than httpserver.DrainWithin, so that every recorded event can be acknowledged.
const (
	inquireTimeout = 3 * time.Second
	recordTimeout  = 4 * time.Second
	refreshTimeout = time.Second
)

// probeEvery limits how often /healthz checks the ledger, so that requests cannot
// overload it.
const probeEvery = 5 * time.Second

// Ledger is the part of ledger.Ledger that the listener needs.
type Ledger interface {
	RecordReport(ctx context.Context, scope string, r order.Report, beside ...order.Report) (ledger.Recorded, error)
	Payments(ctx context.Context, scope, orderID string) ([]order.Payment, error)
}

// Listener is the http.Handler that the bank posts its notifications to. It is safe
// for concurrent use once its fields are set.
//
// Its responses say only whether to send again: 200 recorded, 400 and 413 do not
// retry, 503 retry later. The reasons go to Log.
type Listener struct {
	Ledger Ledger
	Scope  string        // the ledger scope of the orders
	Key    secret.String // the merchant's secret key; if empty, everything is rejected
	Path   string        // the only path for notifications, such as /
	Now    func() time.Time
	Log    *slog.Logger

	// Each is called with every verified event, after it is recorded and before it is
	// acknowledged, so that a slow consumer loses nothing. Calls do not overlap. After
	// an error, no event is acknowledged any more.
	Each func(Event) error
	// Inquire asks the bank about a charge before it is recorded as paid; nil without
	// the bank's key. No reports, or order.ErrUnconfirmed, mean that the bank does not
	// confirm such a charge.
	Inquire func(ctx context.Context, chargeID string) ([]order.Report, error)
	// Rejected is called with a summary of rejected requests, at most once a minute.
	// May be nil.
	Rejected func(summary string)
	// Ready checks that the ledger can be written, for /healthz. May be nil.
	Ready func(ctx context.Context) error

	each    sync.Mutex
	ended   bool // Each failed
	rejects httpserver.Rejections
	probe   struct {
		sync.Mutex
		at  time.Time
		err error
	}
}

// Event is a verified and recorded notification.
type Event struct {
	At           time.Time // when it was received
	Notification Notification
	Recorded     ledger.Recorded
}

// MarshalJSON writes the original notification, with villapay's own fields under
// "villapay".
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

// ServeHTTP receives notifications at Path and answers GET /healthz.
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

// receive handles one notification: read, verify, record, emit, acknowledge.
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
	// A sender that disconnects does not cancel the recording.
	ctx := context.WithoutCancel(r.Context())
	report := n.Report()
	said := l.inquire(ctx, &report)
	ctx, cancel := context.WithTimeout(ctx, recordTimeout) // also if the bank was slow
	defer cancel()
	recorded, err := l.Ledger.RecordReport(ctx, l.Scope, report, said...)
	if err == nil {
		err = l.emit(Event{At: l.Now(), Notification: n, Recorded: recorded})
	}
	if err != nil {
		l.reject(w, r, http.StatusServiceUnavailable, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// inquire returns the bank's reports on a charge that the notification says is paid,
// or nil if the bank cannot be asked. If the bank knows no charge with its id, the
// signed text may be another one's; if it is nobody's, the report is unconfirmed.
func (l *Listener) inquire(ctx context.Context, r *order.Report) []order.Report {
	if state := order.Transaction(r.TransactionState); l.Inquire == nil || state != order.Authorized && state != order.Settled {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inquireTimeout)
	defer cancel()
	for _, id := range append([]string{r.ChargeID}, r.Readings()...) {
		said, err := l.Inquire(ctx, id)
		if err != nil {
			l.Log.Warn("the bank did not confirm a charge", "charge", id, "error", httpserver.Truncate(err.Error()))
		}
		if err != nil && !errors.Is(err, order.ErrUnconfirmed) {
			return nil
		}
		if r.Unconfirmed = len(said) == 0; !r.Unconfirmed {
			return said
		}
	}
	return nil
}

// unreadable returns the status for a body that could not be read.
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

var errEnded = errors.New("the reader of the events is gone")

// emit passes an event to Each, until Each fails.
func (l *Listener) emit(e Event) error {
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
	if err := l.refresh(&e.Recorded.Payment); err != nil {
		return err
	}
	err := l.Each(e)
	l.ended = err != nil
	return err
}

// refresh reads a payment again: an event that was recorded after this one may have been
// passed on before it, and the last line about a payment has to have its state.
func (l *Listener) refresh(p *order.Payment) error {
	if p.OrderID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), refreshTimeout)
	defer cancel()
	payments, err := l.Ledger.Payments(ctx, l.Scope, p.OrderID)
	if i := slices.IndexFunc(payments, func(now order.Payment) bool { return now.ID == p.ID }); i >= 0 {
		*p = payments[i]
	}
	return err
}

// reject responds without a reason. A fault of the request goes into the summary of
// rejections, a fault of this machine into the log.
func (l *Listener) reject(w http.ResponseWriter, r *http.Request, status int, why error) {
	reason := ""
	if why != nil {
		reason = httpserver.Truncate(why.Error())
	}
	if status >= http.StatusInternalServerError {
		w.Header().Set("Retry-After", "5")
		l.Log.Error("notification not recorded", "status", status, "path", httpserver.Truncate(r.URL.Path), "from", r.RemoteAddr, "error", reason)
	} else if summary := l.rejects.Add(l.Now(), fmt.Sprintf("%d %s from %s %s", status, httpserver.Truncate(r.URL.Path), r.RemoteAddr, reason)); summary != "" {
		l.Log.Warn(summary)
		if l.Rejected != nil {
			l.Rejected(summary)
		}
	}
	http.Error(w, http.StatusText(status), status)
}

// health responds 200 if notifications can be recorded.
func (l *Listener) health(w http.ResponseWriter, r *http.Request) {
	if err := l.ready(r.Context()); err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// ready logs a failure once a probe: whoever asks for /healthz asks often.
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		l.probe.err = l.Ready(ctx)
		l.probe.at = l.Now() // those who waited have the answer
		if l.probe.err != nil {
			l.Log.Error("notifications cannot be recorded now", "error", httpserver.Truncate(l.probe.err.Error()))
		}
	}
	return l.probe.err
}
