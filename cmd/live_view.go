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

// watchLive follows one order on the whole terminal and leaves its last state
// behind when it ends. own is the payment to follow; the zero Payment is none.
func (a *app) watchLive(ctx context.Context, service *payment.Service, orderID string, own order.Payment) (payment.Report, error) {
	service.Note = nil // the view itself says what is going on
	view := &liveView{app: a, source: updateSource(service)}
	report, err := service.Watch(ctx, orderID, own, func(r payment.Report) error {
		view.show(r)
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

// Escape sequences of the live view (ECMA-48 and xterm's private modes): the
// alternate screen, so that a resize leaves no debris and the shell's screen
// comes back as it was.
const (
	enterView = "\x1b[?1049h\x1b[?25l"
	leaveView = "\x1b[?25h\x1b[?1049l"
	beginDraw = "\x1b[?2026h\x1b[H" // terminals that know it show the frame at once
	endDraw   = "\x1b[J\x1b[?2026l"
	restOfRow = "\x1b[K"
)

// liveView redraws one order every second, and when something changes: the
// order, or the window's size.
type liveView struct {
	app    *app
	source string // updateSource
	mu     sync.Mutex
	now    payment.Report
	stop   func() // nil until the first report
}

// show draws a report. The first one takes the terminal over.
func (v *liveView) show(r payment.Report) {
	v.mu.Lock()
	v.now = r
	v.mu.Unlock()
	if v.stop == nil {
		v.start()
	}
	v.draw()
}

func (v *liveView) start() {
	window := v.app.Window() // from here on, so that Ctrl-Z always finds somebody to tidy up
	v.enter()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		v.follow(window, ended)
	}()
	v.stop = func() {
		close(ended)
		<-done
		v.leave()
		window.release()
	}
}

// end gives the terminal back as it was.
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

// follow draws again when a second has passed and when the window changes. For
// Ctrl-Z it steps aside.
func (v *liveView) follow(window window, ended <-chan struct{}) {
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
		v.draw()
	}
}

// draw writes one frame in one write, each line over the one before it. A lost
// frame is no failure: what counts is shown again at the end.
func (v *liveView) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	screen := v.app.screen()
	lines := v.frame(screen)
	if screen.Rows > 0 && len(lines) > screen.Rows {
		lines = lines[:screen.Rows]
	}
	frame := []byte(beginDraw)
	for i, line := range lines {
		if i > 0 {
			frame = append(frame, "\r\n"...)
		}
		frame = append(frame, line...)
		if cells(line) < screen.Columns { // behind a full row the cursor still stands on its last cell
			frame = append(frame, restOfRow...)
		}
	}
	_ = v.app.write(append(frame, endDraw...))
}

// cells counts the characters of a line, each of one cell, without colors.
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

// frame is what stands on the screen: the code where it may be shown, its
// caption above it, and the order's state below. Where room is scarce, what
// matters least gives way, and a code that still does not fit is replaced by why.
func (v *liveView) frame(screen render.Screen) []string {
	narrow := screen
	narrow.Columns = max(1, screen.Columns-1)
	facts, rest := v.facts(narrow), v.rest(narrow)
	all := slices.Concat(facts, rest)
	if v.now.Payment.Payable(v.app.Now()) != nil {
		return all
	}
	code, err := v.app.code(v.now.Payment)
	if err != nil {
		return slices.Concat(facts, render.Wrap(narrow, err.Error()), rest)
	}
	caption := render.Wrap(narrow, code.Caption)
	var drawn []string
	for _, text := range [][]string{all, facts} {
		drawn, err = drawLines(screen, code, len(caption)+len(text))
		if err == nil {
			return slices.Concat(caption, drawn, text)
		}
	}
	return slices.Concat(facts, render.Wrap(narrow, err.Error()), rest)
}

// drawLines is the code's lines where they fit beside so many others. It fails
// with a *render.NotDrawn that counts those too.
func drawLines(screen render.Screen, code render.Code, others int) ([]string, error) {
	const prompt = 1 // the row that render.QR leaves free, and a view does not need
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

// facts are what must be seen: what is paid, how it stands, how long it lives,
// and what is wrong with it.
func (v *liveView) facts(screen render.Screen) []string {
	p, now := v.now.Payment, v.app.Now()
	heading := fmt.Sprintf("Order %s   %s", p.OrderID, render.Money(p.Amount, p.Currency))
	if v.app.live() {
		heading += "   LIVE: real money"
	}
	lines := render.Wrap(screen, heading)
	state := render.Wrap(screen, render.StateWord(p.State)+countdown(now, p))
	if rest, ok := strings.CutPrefix(state[0], render.StateWord(p.State)); ok {
		state[0] = render.StateColored(screen, p.State) + rest
	}
	lines = append(lines, state...)
	if p.State == order.Awaiting && p.BankState != "" {
		lines = append(lines, render.Wrap(screen, render.BankState(p))...)
	}
	for _, w := range p.Warnings {
		lines = append(lines, render.Wrap(screen, "warning: "+w.Message)...)
	}
	if trouble := unasked(v.now); trouble != "" {
		lines = append(lines, render.Truncate(screen, trouble))
	}
	return lines
}

// rest is what gives way to the code.
func (v *liveView) rest(screen render.Screen) []string {
	var lines []string
	if v.now.NoEndpoint {
		lines = append(lines, render.Truncate(screen, v.source))
	}
	return append(lines, render.Truncate(screen, "Ctrl-C stops watching; the order stays as it is"))
}

// countdown says how long the order can still be paid, to the second.
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
