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
	service.Note = nil // the view shows it
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

// Escape sequences of the live view (ECMA-48 and xterm). It uses the alternate screen,
// so that the shell's screen is restored and a resize leaves nothing behind.
const (
	enterView = "\x1b[?1049h\x1b[?25l"
	leaveView = "\x1b[?25h\x1b[?1049l"
	beginDraw = "\x1b[?2026h\x1b[H" // synchronized output, if supported
	endDraw   = "\x1b[J\x1b[?2026l"
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
	window := v.app.Window() // before enter, so that Ctrl-Z always restores the screen
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

// draw writes one frame with one write, over the last frame. It ignores errors: the
// result is written again at the end.
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
// then the state. If there is too little room, the less important lines are omitted
// first; if the code still does not fit, the reason replaces it.
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

// facts returns the lines that must be visible: the order, its state and expiry, and
// any problems.
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
