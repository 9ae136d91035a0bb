package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// watchLive watches one order on the whole terminal, and writes its last state when
// it ends. own is the payment to watch; it may be the zero Payment.
func (a *app) watchLive(ctx context.Context, service *payment.Service, orderID string, own order.Payment) (payment.Report, error) {
	noteless := *service
	noteless.Note = nil // the view shows it
	service = &noteless
	view := &liveView{app: a, source: updateSource(service)}
	report, err := service.Watch(ctx, orderID, own, func(r payment.Report) error {
		view.show(ctx, r)
		return nil
	})
	view.end()
	if report.Found {
		if shown := a.showPayment(context.WithoutCancel(ctx), config.FormatTable, report.Payment, codeFlags{}, false); shown != nil {
			return report, shown
		}
	}
	if err == nil {
		a.ring(report)
	}
	return report, err
}

// Escape sequences of the live view (ECMA-48 and xterm). It uses the alternate screen,
// so that the shell's screen is restored and a resize leaves nothing behind.
const (
	enterView = "\x1b[?1049h\x1b[?25l"
	leaveView = endSync + "\x1b[?25h\x1b[?1049l" // Ctrl-C may have dropped the end of a frame
	beginDraw = "\x1b[?2026h\x1b[H"              // synchronized output, if supported
	endDraw   = "\x1b[J" + endSync
	endSync   = "\x1b[?2026l"
	restOfRow = "\x1b[K"
)

// liveView redraws one order every second and after every change of the order or the
// window size.
type liveView struct {
	app    *app
	source string // updateSource
	mu     sync.Mutex
	now    payment.Report
	stop   func() // nil until the first report
}

// show draws a report. The first call takes over the terminal.
func (v *liveView) show(ctx context.Context, r payment.Report) {
	v.mu.Lock()
	v.now = r
	v.mu.Unlock()
	if v.stop == nil {
		v.start(ctx)
	}
	v.draw(ctx)
}

func (v *liveView) start(ctx context.Context) {
	window := v.app.Window() // before enter, so that Ctrl-Z always restores the screen
	v.enter()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		v.follow(ctx, window, ended)
	}()
	v.stop = func() {
		close(ended)
		<-done
		v.leave()
		window.release()
	}
}

// end restores the terminal.
func (v *liveView) end() {
	if v.stop != nil {
		v.stop()
	}
}

func (v *liveView) enter() {
	v.app.viewing.Store(true)
	_ = v.app.write([]byte(enterView))
}

func (v *liveView) leave() {
	_ = v.app.write([]byte(leaveView))
	v.app.viewing.Store(false)
}

// follow redraws every second and after a resize. On Ctrl-Z it restores the screen
// while the process is stopped.
func (v *liveView) follow(ctx context.Context, window window, ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		case <-window.resized:
		case <-window.suspended:
			v.leave()
			window.suspend()
			v.enter()
		}
		v.draw(ctx)
	}
}

// draw writes one frame with one write, over the last frame. It ignores errors: the
// result is written again at the end.
func (v *liveView) draw(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	screen := v.app.screen()
	lines := v.frame(ctx, screen)
	if screen.Rows > 0 && len(lines) > screen.Rows {
		lines = lines[:screen.Rows]
	}
	frame := []byte(beginDraw)
	for i, line := range lines {
		if i > 0 {
			frame = append(frame, "\r\n"...)
		}
		frame = append(frame, line...)
		if cells(line) < screen.Columns { // after a full row the cursor is still on its last cell
			frame = append(frame, restOfRow...)
		}
	}
	_ = v.app.write(append(frame, endDraw...))
}

// cells counts the characters of a line, without escape sequences.
func cells(line string) int {
	n, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}

// frame returns the lines of the screen: the caption and the code, if it may be shown,
// then the state. The code outranks the lines below it: as long as it can be paid, it
// stays, and the less important lines are shortened and omitted. If it does not fit
// even so, the reason replaces it.
func (v *liveView) frame(ctx context.Context, screen render.Screen) []string {
	narrow := screen
	narrow.Columns = max(1, screen.Columns-1)
	heading, rest := v.heading(narrow), v.rest(narrow)
	must, more := v.facts(narrow)
	var wrapped []string
	for _, text := range more {
		wrapped = append(wrapped, render.Wrap(narrow, text)...)
	}
	all := slices.Concat(heading, must, wrapped, rest)
	if v.now.Payment.Payable(v.app.now()) != nil {
		return all
	}
	code, err := v.app.code(ctx, v.now.Payment)
	if err != nil {
		return slices.Concat(heading, must, wrapped, render.Wrap(narrow, err.Error()), rest)
	}
	// The caption names order and amount too, so the heading can go.
	texts := [][]string{all, slices.Concat(heading, must, wrapped), slices.Concat(must, wrapped)}
	for n := len(more); n >= 0; n-- {
		text := slices.Clone(must)
		for _, line := range more[:n] {
			text = append(text, render.Truncate(narrow, line))
		}
		texts = append(texts, text)
	}
	caption := render.Wrap(narrow, code.Caption)
	var drawn []string
	for _, text := range texts {
		drawn, err = drawLines(screen, code, len(caption)+len(text))
		if err == nil {
			return slices.Concat(caption, drawn, text)
		}
	}
	why := err.Error()
	var small *render.NotDrawn
	if errors.As(err, &small) && small.Reason == "" {
		why += "; make the window larger" // --qr-file is no flag of every watch
	}
	return slices.Concat(heading, must, wrapped, render.Wrap(narrow, why), rest)
}

// drawLines draws the code if it fits beside others other lines, which its
// *render.NotDrawn includes.
func drawLines(screen render.Screen, code render.Code, others int) ([]string, error) {
	const prompt = 1 // render.QR leaves a row for the prompt, which a view does not need
	var drawn bytes.Buffer
	room := screen
	room.Rows = max(1, screen.Rows-others+prompt)
	err := render.QR(&drawn, room, code, "")
	var small *render.NotDrawn
	if errors.As(err, &small) && small.Reason == "" {
		small.NeedRows += others - prompt
		small.HaveRows = screen.Rows
	}
	return strings.Split(strings.TrimSuffix(drawn.String(), "\n"), "\n"), err
}

// heading names the order and its amount.
func (v *liveView) heading(screen render.Screen) []string {
	p := v.now.Payment
	return render.Wrap(screen, fmt.Sprintf("Order %s   %s", p.OrderID, render.Money(p.Amount, p.Currency)))
}

// facts returns the lines that must be visible, the order's state and expiry and that
// the money is real, and what else there is to know, the most important first: what the
// bank said, which joins the state where it fits, and any problems.
func (v *liveView) facts(screen render.Screen) (must, more []string) {
	p := v.now.Payment
	text := render.StateWord(p.State) + countdown(v.app.now(), p)
	if v.app.live() {
		text += "  LIVE: real money"
	}
	must = render.Wrap(screen, text)
	if p.State == order.Awaiting && p.BankState != "" {
		said := render.BankState(p)
		if both := render.Wrap(screen, text+"  "+said); len(both) == len(must) {
			must = both
		} else {
			more = append(more, said)
		}
	}
	if rest, ok := strings.CutPrefix(must[0], render.StateWord(p.State)); ok {
		must[0] = render.StateColored(screen, p.State) + rest
	}
	for _, w := range p.Warnings {
		more = append(more, "warning: "+w.Message)
	}
	if trouble := unasked(v.now); trouble != "" {
		more = append(more, render.Truncate(screen, trouble))
	}
	return must, more
}

// rest returns the lines that are omitted first.
func (v *liveView) rest(screen render.Screen) []string {
	var lines []string
	if v.now.NoEndpoint {
		lines = append(lines, render.Truncate(screen, v.source))
	}
	return append(lines, render.Truncate(screen, "Ctrl-C stops watching; the order stays as it is"))
}

// countdown returns the time left to pay the order.
func countdown(now time.Time, p order.Payment) string {
	left := int(p.ExpiresAt.Sub(now) / time.Second)
	if p.State != order.Awaiting || p.ExpiresAt.IsZero() || left < 0 {
		return ""
	}
	if left < 3600 {
		return fmt.Sprintf("   order expires in %d:%02d", left/60, left%60)
	}
	return fmt.Sprintf("   order expires in %d:%02d:%02d", left/3600, left/60%60, left%60)
}
