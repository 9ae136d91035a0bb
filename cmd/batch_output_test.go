package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
)

// telling is a batch output of 100 orders, and what it writes to stderr.
func telling(t *testing.T, tty bool, format config.Format) (*batchOutput, *bytes.Buffer) {
	t.Helper()
	var stderr bytes.Buffer
	a := newApp(&Program{
		Out: &bytes.Buffer{}, Err: &stderr, ErrTTY: tty, OutTTY: tty, Now: time.Now,
		LookupEnv: func(string) (string, bool) { return "", false }, Size: func() (int, int) { return 80, 24 },
	}, nil)
	a.config = &config.Config{Profile: config.Profile{Name: "dev"}}
	out, err := a.newBatchOutput(&payment.Service{}, format, 100)
	if err != nil {
		t.Fatal(err)
	}
	return out, &stderr
}

// complete adds an order a second, every tenth refused.
func (o *batchOutput) complete(t *testing.T, orders int) {
	t.Helper()
	for i := range orders {
		time.Sleep(time.Second)
		var err error
		if i%10 == 9 {
			err = &api.Error{Kind: api.Rejected, Code: "no", Message: "no"}
		}
		line := payment.Line{Number: i, OrderID: fmt.Sprint(i), Source: order.QR}
		if err := o.add(t.Context(), config.Profile{Name: "dev"}, line, order.Payment{}, err); err != nil {
			t.Fatal(err)
		}
	}
}

// Piped, a batch reports progress every ten seconds, even if no order completes.
func TestBatchTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out, stderr := telling(t, false, "json")
		stop := out.startProgress()
		time.Sleep(10*time.Second + time.Second/2)
		out.complete(t, 20)
		time.Sleep(9 * time.Second)
		stop()
		want := []string{
			"villapay: 0 of 100 done, 0 failed, 0.0/s, unknown time left",
			"villapay: 9 of 100 done, 0 failed, 0.5/s, 3m22s left",
			"villapay: 19 of 100 done, 1 failed, 0.6/s, 2m8s left",
		}
		if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(stderr.String()), "\n")); diff != "" {
			t.Error(diff)
		}
	})
}

// At a terminal it is a bar: done, failed, rate, time left; where lines of the
// result go to the same terminal, the bar would be in their way.
func TestBatchDrawsABar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out, stderr := telling(t, true, "table")
		stop := out.startProgress()
		out.complete(t, 30)
		time.Sleep(drawEvery)
		stop()
		frames := strings.Split(stderr.String(), "\r")
		last := frames[len(frames)-1]
		for _, want := range []string{"3 failed", "30%", "(30/100", "60 orders/min", "1m10s"} {
			if !strings.Contains(last, want) {
				t.Errorf("no %q in %q", want, last)
			}
		}
		if err := out.finish(0); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		out, stderr := telling(t, true, "json")
		stop := out.startProgress()
		out.complete(t, 5)
		stop()
		if stderr.Len() > 0 {
			t.Errorf("stderr %q", stderr)
		}
	})
}

// What stops a batch decides how it ends only as long as nothing was made.
func TestBatchThatIsStopped(t *testing.T) {
	t.Parallel()
	stored := &ledger.Error{Op: "claim"}
	signIn := &auth.Error{Kind: auth.NotSignedIn, Hint: "run `villapay login`"}
	for name, test := range map[string]struct {
		cause error
		tally tally
		code  string
		exit  int
		hint  string
	}{
		"ledger, nothing sent":     {stored, tally{replayed: 1}, "ledger", 3, "nothing was sent; run `villapay doctor`; then run the same command again to continue"},
		"ledger, made":             {stored, tally{made: 1}, "ledger", 9, "run `villapay doctor`; then run the same command again to continue"},
		"ledger, rejected":         {stored, tally{failed: 1}, "ledger", 9, "run `villapay doctor`; then run the same command again to continue"},
		"ledger, unknown":          {stored, tally{unknown: 1}, "ledger", 6, "run `villapay doctor`; then run the same command again to continue"},
		"sign-in, nothing made":    {signIn, tally{failed: 2}, "sign_in", 4, "run `villapay login`; then run the same command again to continue"},
		"sign-in, made":            {signIn, tally{made: 1, failed: 2}, "sign_in", 9, "run `villapay login`; then run the same command again to continue"},
		"sign-in, unknown":         {signIn, tally{made: 1, unknown: 1}, "sign_in", 6, "run `villapay login`; then run the same command again to continue"},
		"not recorded, made":       {&payment.NotRecordedError{Key: "k", Err: stored}, tally{made: 1}, "not_recorded", 6, "run the same command again to continue"},
		"interrupted":              {context.Canceled, tally{made: 1}, "interrupted", 130, "run the same command again to continue"},
		"interrupted, two unknown": {context.Canceled, tally{made: 1, unknown: 2}, "interrupted", 130, "run the same command again: it repeats the unknown orders' requests with the same keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, _ := telling(t, false, "json")
			out.tally = test.tally
			ctx, cancel := context.WithCancel(t.Context())
			if errors.Is(test.cause, context.Canceled) {
				cancel()
			}
			defer cancel()
			f := explain(ctx, out.result(0, test.cause))
			if f.Code != test.code || f.ExitCode != test.exit || f.Hint != test.hint {
				t.Errorf("%+v", f)
			}
			if (f.ExitCode == 130 || f.ExitCode == 6) && !f.Retryable {
				t.Errorf("not retryable: %+v", f)
			}
			if n := test.tally.unknown; f.ExitCode == 130 && strings.Contains(f.Message, plural(n, "order")) != (n > 0) {
				t.Errorf("message %q", f.Message)
			}
		})
	}
}

// An order of which nothing is recorded since the ledger failed is not in the result:
// an earlier run may have made it.
func TestBatchKnowsNothingOfAnOrder(t *testing.T) {
	t.Parallel()
	out, _ := telling(t, false, "json")
	line := payment.Line{Number: 1, OrderID: "4925", Source: order.QR}
	if err := out.add(t.Context(), config.Profile{Name: "dev"}, line, order.Payment{}, &ledger.Error{Op: "claim"}); err != nil {
		t.Fatal(err)
	}
	if shown := out.app.Out.(*bytes.Buffer); shown.Len() > 0 || out.done() > 0 {
		t.Errorf("%q, %+v", shown, out.tally)
	}
}
