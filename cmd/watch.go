package cmd

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// watchOrder follows one order until it is settled: at a terminal as a live
// view, piped as a line for each change. shown says that the payment has been
// printed already.
func (a *app) watchOrder(ctx context.Context, service *payment.Service, format, orderID string, shown bool) error {
	if format == "table" && a.OutTTY && a.Getenv("TERM") != "dumb" {
		return a.watchLive(ctx, service, orderID)
	}
	report, err := service.Watch(ctx, orderID, true, func(r payment.Report) error {
		if shown || !r.Found {
			shown = false
			return nil
		}
		return a.writeChange(ctx, format, r.Payment)
	})
	if err != nil {
		return err
	}
	return a.watched(service, report)
}

// watched is how watching ends: 0 paid, 8 expired, 5 failed.
func (a *app) watched(service *payment.Service, report payment.Report) error {
	switch {
	case report.Found:
		return notPaid(report.Payment)
	case report.Err != nil:
		return report.Err
	}
	return noPayment(report.OrderID, service.Env)
}

// writeChange writes one line a change.
func (a *app) writeChange(ctx context.Context, format string, p ledger.Payment) error {
	if format == "table" {
		return a.write([]byte(changeLine(a.Now(), p) + "\n"))
	}
	raw, err := render.PaymentJSON(p)
	if err != nil {
		return err
	}
	if format == "yaml" {
		if err := a.write([]byte("---\n")); err != nil {
			return err
		}
	}
	return a.writeJSON(ctx, format, raw)
}

func changeLine(now time.Time, p ledger.Payment) string {
	line := fmt.Sprintf("%s  %s  %s  %s", render.Stamp(now), p.OrderID, render.StateWord(p.State), render.Money(p.Amount, p.Currency))
	if p.BankState != "" {
		line += "  " + p.BankState
	}
	return render.Visible(line)
}

// watchLive follows one order on the whole terminal and leaves its last state
// behind when it ends.
func (a *app) watchLive(ctx context.Context, service *payment.Service, orderID string) error {
	service.Note, service.API.Waits = nil, nil // the view itself says what is going on
	view := &liveView{app: a}
	stop := view.start(ctx)
	report, err := service.Watch(ctx, orderID, true, func(r payment.Report) error {
		view.update(r)
		return nil
	})
	stop()
	if report.Found {
		if shown := a.showPayment(context.WithoutCancel(ctx), "table", report.Payment, codeFlags{}, false); shown != nil {
			return shown
		}
	}
	if err != nil {
		return err
	}
	return a.watched(service, report)
}

// Escape sequences of the live view (ECMA-48 and xterm's private modes): the
// alternate screen, so that a resize leaves no debris and the shell's screen
// comes back as it was.
const (
	enterView = "\x1b[?1049h\x1b[?25l"
	leaveView = "\x1b[?25h\x1b[?1049l"
	beginDraw = "\x1b[?2026h\x1b[H" // terminals that know it show the frame at once
	endDraw   = "\x1b[J\x1b[?2026l"
	endLine   = "\x1b[K\r\n"
)

// liveView redraws one order every second, and when something changes.
type liveView struct {
	app *app
	mu  sync.Mutex
	now payment.Report
}

// start takes the terminal over until the returned function is called.
func (v *liveView) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	_ = v.app.write([]byte(enterView))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				v.draw()
			}
		}
	}()
	return func() {
		cancel()
		<-done
		_ = v.app.write([]byte(leaveView))
	}
}

func (v *liveView) update(r payment.Report) {
	v.mu.Lock()
	v.now = r
	v.mu.Unlock()
	v.draw()
}

// draw writes one frame in one write. A lost frame is no failure: what counts
// is shown again at the end.
func (v *liveView) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.now.Found {
		return
	}
	screen := v.app.screen()
	text := v.lines(screen)
	frame := []byte(beginDraw)
	for _, line := range v.code(screen, len(text)) {
		frame = append(frame, line+endLine...)
	}
	for i, line := range text {
		if i > 0 {
			frame = append(frame, endLine...)
		}
		frame = append(frame, line+"\x1b[K"...)
	}
	_ = v.app.write(append(frame, endDraw...))
}

// code is the code's lines where it may be shown and fits above the text.
func (v *liveView) code(screen render.Screen, below int) []string {
	p := v.now.Payment
	if whyNoCode(p) != "" {
		return nil
	}
	code, err := v.app.code(p)
	if err != nil {
		return nil
	}
	screen.Rows -= below
	var drawn bytes.Buffer
	if render.QR(&drawn, screen, code, "") != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(drawn.String(), "\n")+"\n"+render.Cut(screen, code.Caption), "\n")
}

// lines is the text of a frame: what is paid, how it stands, how long it lives.
func (v *liveView) lines(screen render.Screen) []string {
	p, now := v.now.Payment, v.app.Now()
	lines := []string{
		"",
		fmt.Sprintf("Order %s   %s", p.OrderID, render.Money(p.Amount, p.Currency)),
		render.StateColored(screen, p.State) + countdown(now, p),
		fmt.Sprintf("known from %s %s", p.KnownFrom, render.Ago(now, p.KnownAt)),
	}
	if v.now.Err != nil {
		lines = append(lines, "cannot ask: "+v.now.Err.Error())
	}
	lines = append(lines, "Ctrl-C stops watching; the order stays as it is")
	for i := range lines {
		if i != 2 {
			lines[i] = render.Cut(screen, lines[i])
		}
	}
	return lines
}

// countdown says how long the order can still be paid, to the second.
func countdown(now time.Time, p ledger.Payment) string {
	left := p.ExpiresAt.Sub(now).Round(time.Second)
	if p.State != ledger.Awaiting || p.ExpiresAt.IsZero() || left < 0 {
		return ""
	}
	return fmt.Sprintf("   order expires in %d:%02d", int(left.Minutes()), int(left.Seconds())%60)
}
