package cmd

import (
	"slices"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// What order cancel acts on: the open payment, and others whose code may still be paid.
func TestWhatIsCanceled(t *testing.T) {
	t.Parallel()
	now := time.Now()
	code := &order.Held{ID: "qr_1", Kind: order.ThaiQR, Text: "00", Life: order.Life{HeldUntil: now.Add(time.Minute)}}
	lapsed := &order.Held{ID: "qr_2", Kind: order.ThaiQR, Text: "00", Life: order.Life{HeldUntil: now.Add(-time.Minute)}}
	canceled := &order.Held{ID: "qr_3", Kind: order.ThaiQR, Text: "00", Life: order.Life{HeldUntil: now.Add(time.Minute)}, Canceled: true}
	page := &order.Held{Kind: order.Page, Life: order.Life{HeldUntil: now.Add(time.Minute)}}
	p := func(id int64, state order.State, held *order.Held, change ...func(*order.Payment)) order.Payment {
		p := order.Payment{ID: id, OrderID: "4925", Source: order.QR, State: state, Held: held}
		for _, change := range change {
			change(&p)
		}
		return p
	}
	replaced := func(p *order.Payment) { p.ReplacedBy = "key" }
	wechat := func(p *order.Payment) { p.Source = order.WeChat }
	for name, test := range map[string]struct {
		payments []order.Payment // newest first
		source   order.Source
		want     []int64 // nil for a usage error
	}{
		"the open one":                       {[]order.Payment{p(1, order.Awaiting, code)}, "", []int64{1}},
		"without a code":                     {[]order.Payment{p(1, order.Awaiting, nil)}, "", []int64{1}},
		"expired":                            {[]order.Payment{p(1, order.Expired, code)}, "", []int64{1}},
		"and one that it has replaced":       {[]order.Payment{p(2, order.Awaiting, code), p(1, order.Awaiting, code, replaced)}, "", []int64{2, 1}},
		"whose code is not payable any more": {[]order.Payment{p(4, order.Awaiting, code), p(3, order.Awaiting, lapsed, replaced), p(2, order.Awaiting, canceled, replaced), p(1, order.Awaiting, page, replaced)}, "", []int64{4}},
		"canceled before":                    {[]order.Payment{p(2, order.Cancelled, canceled), p(1, order.Awaiting, code, replaced)}, "", []int64{1}},
		"canceled, all of them":              {[]order.Payment{p(2, order.Cancelled, canceled), p(1, order.Cancelled, canceled)}, "", []int64{2}},
		"paid":                               {[]order.Payment{p(1, order.Paid, code)}, "", []int64{1}},
		"paid, beside a code":                {[]order.Payment{p(2, order.Paid, code, wechat), p(1, order.Awaiting, code)}, "", []int64{1}},
		"paid, beside a code, of its source": {[]order.Payment{p(2, order.Paid, code, wechat), p(1, order.Awaiting, code)}, "qr", []int64{1}},
		"paid, beside one not finished":      {[]order.Payment{p(2, order.Paid, code, wechat), p(1, order.Awaiting, canceled)}, "qr", []int64{1}},
		"paid, beside another source":        {[]order.Payment{p(2, order.Paid, code), p(1, order.Awaiting, code, wechat)}, "qr", []int64{2}},
		"a newer one in flight":              {[]order.Payment{p(2, order.Sending, nil), p(1, order.Awaiting, code, replaced)}, "", []int64{2}},
		"a newer one unknown":                {[]order.Payment{p(2, order.Unknown, nil), p(1, order.Awaiting, code, replaced)}, "", []int64{2}},
		"two sources":                        {[]order.Payment{p(2, order.Awaiting, code), p(1, order.Awaiting, code, wechat)}, "", nil},
		"one of two sources":                 {[]order.Payment{p(2, order.Awaiting, code), p(1, order.Awaiting, code, wechat)}, "wechat", []int64{1}},
	} {
		c := &orderCancel{newApp(&Program{Now: func() time.Time { return now }}, nil), test.source}
		open, err := c.pick(test.payments)
		var got []int64
		for _, p := range open {
			got = append(got, p.ID)
		}
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v; %v", name, got, test.want, err)
		}
	}
}
