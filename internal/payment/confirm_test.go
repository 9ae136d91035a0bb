package payment

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
)

// Confirm is called once for what will be sent, and for nothing else. A no leaves
// everything as it was.
func TestConfirm(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		asked, answer := 0, no
		confirm := func(context.Context) error {
			asked++
			return answer
		}
		rejects := func(req Request) {
			t.Helper()
			req.Confirm, asked = confirm, 0
			if _, err := p.make(t, req); !errors.Is(err, no) || asked != 1 {
				t.Errorf("%+v: asked %d times: %v", req, asked, err)
			}
		}
		rejects(Request{OrderID: "4925"})
		if all := p.stored(t, "4925"); len(all) != 0 {
			t.Errorf("a no is recorded: %+v", all)
		}

		answer = nil
		first := p.mustMake(t, Request{Confirm: confirm})
		if asked != 2 || first.State != order.Awaiting {
			t.Errorf("asked %d times: %+v", asked, first)
		}
		answer, asked = no, 0
		if again := p.mustMake(t, Request{Confirm: confirm}); !again.Replayed || asked != 0 {
			t.Errorf("the open order: asked %d times: %+v", asked, again)
		}
		rejects(Request{OrderID: "4925", New: true})
		if all := p.stored(t, "4925"); len(all) != 1 || all[0].ReplacedBy != "" || all[0].State != order.Awaiting {
			t.Errorf("after a no to --new: %+v", all)
		}
		w.counts(t, "4925", 1, 1)

		// An unknown outcome stays unknown, and its key.
		unknown, err := p.make(t, Request{OrderID: "lost-always"})
		if unknown.State != order.Unknown {
			t.Fatalf("%+v, %v", unknown, err)
		}
		rejects(Request{OrderID: "lost-always"})
		if all := p.stored(t, "lost-always"); len(all) != 1 || all[0].State != order.Unknown || all[0].Key != unknown.Key {
			t.Errorf("after a no to asking again: %+v", all)
		}
	})
}

// What a person takes to answer is not the limit's, and what happened meanwhile
// counts.
func TestConfirmTakesItsTime(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		other := w.start(t, 0)
		p.Timeout = 5 * time.Second
		made := p.mustMake(t, Request{Confirm: func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}})
		if made.State != order.Awaiting || made.Replayed {
			t.Errorf("%+v", made)
		}
		var theirs order.Payment
		made = p.mustMake(t, Request{OrderID: "4926", Confirm: func(context.Context) error {
			theirs = other.mustMake(t, Request{OrderID: "4926"})
			return nil
		}})
		if !made.Replayed || made.BankOrderID != theirs.BankOrderID {
			t.Errorf("made %+v, another process made %+v", made, theirs)
		}
		w.counts(t, "4926", 1, 1)
	})
}

// If the time limit leaves no time, nothing is sent and no server is blamed.
func TestNoTime(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		p.Timeout = 0
		if _, err := p.make(t, Request{OrderID: "4925"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := p.Status(t.Context(), "4925", true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		w.counts(t, "4925", 0, 0)
	})
}

// Another code of a paid order, which may still be paid, is reported.
func TestOpenPaymentsOfAPaidOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		qr, weChat := p.mustMake(t, Request{}), p.mustMake(t, Request{Source: order.WeChat})
		if report := p.status(t); len(report.Open) != 0 {
			t.Errorf("of an open order: %+v", report.Open)
		}
		p.pay(t, qr)
		if report := p.status(t); len(report.Open) != 1 || report.Open[0].BankOrderID != weChat.BankOrderID {
			t.Errorf("%+v", report.Open)
		}
	})
}
