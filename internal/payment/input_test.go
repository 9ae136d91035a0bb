package payment

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/table"
)

// read collects what an input holds, as "line orderid source", and what is
// invalid.
func read(t *testing.T, r io.Reader) (lines, bad []string, err error) {
	t.Helper()
	in, err := ReadInput(r, order.QR, t.TempDir(), func(e *table.Error) { bad = append(bad, e.Error()) })
	if err != nil {
		return nil, bad, err
	}
	defer in.Close()
	err = in.each(func(l Line) bool {
		lines = append(lines, fmt.Sprint(l.Number, " ", l.OrderID, " ", l.Source))
		return true
	})
	if len(lines) != in.Lines {
		t.Errorf("it says it has %d lines and gives %d", in.Lines, len(lines))
	}
	return lines, bad, err
}

// The forms of a table are package table's; these are orders.
func TestInput(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ lines, bad []string }{
		"1\n\n  2  \n":                            {[]string{"1 1 qr", "3 2 qr"}, nil},
		"orderid,source\n1,wechat\n2,\n3\n":       {[]string{"2 1 wechat", "3 2 qr", "4 3 qr"}, nil},
		"[{\"orderid\":1,\"source\":\"wechat\"}]": {[]string{"1 1 wechat"}, nil},
		"1\n-x\norder:2.7\n3,paypal\n": {[]string{"1 1 qr", "3 order:2.7 qr"}, []string{
			`line 2: "-x" is not an order ID: letters, digits and . _ : - are allowed, starting with a letter or digit`, `line 4: "paypal" is not a source: qr or wechat`,
		}},
		"orderid,source\n,qr\n": {nil, []string{"line 2: the order ID is empty"}},
		"orderid\n":             {nil, nil},
	} {
		lines, bad, err := read(t, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.lines, lines); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		if diff := cmp.Diff(want.bad, bad); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestInputThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, _, err := read(t, strings.NewReader("1\n2.0\n"))
	if invalid, ok := errors.AsType[*table.Error](err); !ok || invalid.Line != 2 {
		t.Error(err)
	}
	if _, _, err := read(t, io.MultiReader(strings.NewReader("1\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := ReadInput(strings.NewReader("1"), order.QR, t.TempDir()+"/nowhere", nil); err == nil {
		t.Error("there is no such directory")
	}
}

// A plan counts an order once, and says what the ledger answers alone.
func TestPlan(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world, p *process) {
		for _, id := range []string{"open", "paid", "replaced"} {
			p.mustMake(t, Request{OrderID: id})
		}
		p.pay(t, p.stored(t, "paid")[0])
		p.mustMake(t, Request{OrderID: "replaced", Source: order.WeChat})
		p.mustMake(t, Request{OrderID: "replaced", Source: order.WeChat, New: true})
		lines := append([]string{"orderid,source", "open", "open,wechat", "paid,wechat", "open,qr", "replaced,wechat", "o-1"}, numbered(planAtOnce+1)...)
		var got []string
		err := input(t, lines...).Plan(t.Context(), p.Ledger, p.Scope, func(planned Planned) error {
			got = append(got, fmt.Sprintf("%d %s %s %t %s", planned.Number, planned.OrderID, planned.Source, planned.Replays, planned.Payment.State))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"2 open qr true awaiting", "3 open wechat false ", "4 paid wechat true paid", "6 replaced wechat true awaiting", "7 o-1 qr false ", "8 o-0 qr false "}
		if diff := cmp.Diff(want, got[:len(want)]); diff != "" || len(got) != len(want)+planAtOnce-1 {
			t.Errorf("%d orders: %s", len(got), diff)
		}
		w.counts(t, "o-1", 0, 0)
		stop := errors.New("stop")
		if err := input(t, "1", "2").Plan(t.Context(), p.Ledger, p.Scope, func(Planned) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
}
