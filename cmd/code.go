package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/kbank"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/payment"
	"github.com/villapay/villapay/internal/render"
)

// codeFlags say how a code is drawn.
type codeFlags struct {
	style string
	file  string
}

func (c *codeFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	styles := render.QRStyles()
	f.Var(&choiceFlag{&c.style, styles}, "qr-style", "draw the code in `STYLE`: half, full, plain or plain-invert")
	f.StringVar(&c.file, "qr-file", "", "write the code to `FILE` too, .png or .svg")
	complete(cmd, "qr-style", styles...)
}

func (c *codeFlags) check() error {
	if c.file == "" {
		return nil
	}
	return render.CheckQRFile(c.file)
}

// fetchCode gets the bank's code for a payment, where the bank draws the codes, and
// records any other one that can be paid. A code that could not be had is a failure
// beside the payment, which then carries it as a warning: the order stands.
func (a *output) fetchCode(ctx context.Context, service *payment.Service, p order.Payment) (order.Payment, *failure) {
	p, err := service.Code(ctx, p)
	if err == nil {
		p, err = a.recordPage(ctx, service, p)
	}
	if err == nil {
		return p, nil
	}
	f := codeFailure(p.OrderID, err)
	p.Warnings = append(p.Warnings, order.Warning{Code: "bank_code", Message: f.Message})
	return p, f
}

// recordPage records that a payment's code is drawn which the bank did not give and
// with which the payer pays: nobody can cancel that one.
func (a *output) recordPage(ctx context.Context, service *payment.Service, p order.Payment) (order.Payment, error) {
	settings, err := a.settings()
	now := a.Now()
	if err != nil || p.Payable(now) != nil || p.LivingCode(now) != nil || p.Held != nil && p.Held.Kind == order.Page && p.HoldsCode(now) {
		return p, err
	}
	code, _, why := a.content(settings.Profile, p)
	if why != nil || code.Kind == order.Reference {
		return p, nil //nolint:nilerr // whoever draws it says why it cannot
	}
	recorded, _, err := service.Ledger.RecordPage(ctx, p)
	if err != nil {
		return p, &payment.NotRecordedError{Key: p.Key, Err: err}
	}
	return recorded, nil
}

// codeFailure is how a command ends that was to draw a code which the bank did
// not give.
func codeFailure(orderID string, err error) *failure {
	stands := "order " + orderID + " stands, but its payment code could not be fetched: "
	f := &failure{
		Code: "bank_code", Message: stands + err.Error(),
		Hint: "run `villapay order show " + orderID + " -o qr` for its code", Retryable: true, ExitCode: exitUnknown,
	}
	var call *api.Error
	var wrong *kbank.WrongCodeError
	var held *payment.HeldError
	switch {
	case errors.As(err, &call):
		f.Message, f.text = stands+call.Message, stands+call.Error()
		f.Status, f.RequestID = call.Status, call.RequestID
		if call.Kind == api.Rejected {
			f.Retryable, f.ExitCode = false, exitRejected
		}
	case errors.As(err, &wrong), errors.As(err, &held):
		f.Retryable, f.ExitCode = false, exitRejected
	}
	if f.ExitCode == exitRejected {
		f.Hint = "make another order: villapay pay qr " + orderID + " --new"
	}
	return f
}

// view is a payment as the payment object shows it, with its code if that may be
// shown. Only the payment's own environment knows what its code holds.
func (a *output) view(p order.Payment) render.View {
	v := render.View{Payment: p, Now: a.Now()}
	settings, err := a.settings()
	if err == nil && p.Env == "" { // another tool made it
		v.Payment.Env = settings.Profile.Name
	}
	if err != nil || settings.Profile.Scope() != p.Scope || p.Payable(a.Now()) != nil {
		return v
	}
	if code, until, err := a.content(settings.Profile, p); err == nil {
		v.QR = &render.QRView{Kind: string(code.Kind), Content: code.Text, ExpiresAt: until}
	}
	return v
}

// drawCode draws a payment's code, its caption above it: below, it could push
// the code's first row off the screen. Where no code can be drawn, its text is
// written instead, and the error says why.
func (a *output) drawCode(p order.Payment, flags codeFlags, caption io.Writer) error {
	if why := p.Payable(a.Now()); why != nil {
		return &failure{Code: "no_code", Message: fmt.Sprintf("no code is drawn for order %s: %s", p.OrderID, why), ExitCode: exitRejected}
	}
	code, err := a.code(p)
	if err != nil {
		return err
	}
	drawn, drawErr := a.draw(code, render.QRStyle(flags.style))
	if len(drawn) > 0 {
		fmt.Fprintln(caption, a.screen().Text(code.Caption))
		if err := a.write(drawn); err != nil {
			return err
		}
	}
	return noCode(drawErr)
}

// noCode explains a code that does not fit the terminal or any code at all.
func noCode(err error) error {
	var notDrawn *render.NotDrawn
	var tooLong *render.TooLong
	if errors.As(err, &notDrawn) || errors.As(err, &tooLong) {
		return &failure{Code: "no_code", Message: err.Error(), ExitCode: exitRejected}
	}
	return err
}

// draw draws a code so that its caption above stays on the screen too, where
// there is room for both. What is drawn beside an error is the code's text.
func (a *output) draw(code render.Code, style render.QRStyle) ([]byte, error) {
	screen := a.screen()
	beside := screen
	beside.Rows -= len(render.Wrap(screen, code.Caption))
	var drawn bytes.Buffer
	if beside.Rows > 0 && render.QR(&drawn, beside, code, style) == nil {
		return drawn.Bytes(), nil
	}
	drawn.Reset()
	err := render.QR(&drawn, screen, code, style)
	return drawn.Bytes(), err
}

func (a *output) code(p order.Payment) (render.Code, error) {
	settings, err := a.settings()
	if err != nil {
		return render.Code{}, err
	}
	code, until, err := a.content(settings.Profile, p)
	if err != nil {
		return render.Code{}, &failure{Code: "bad_code", Message: fmt.Sprintf("no code is drawn for order %s: %s", p.OrderID, err), ExitCode: exitRejected}
	}
	return render.NewCode(code, p, until), nil
}

// content is what a payment's code holds, and until when it may be shown. Where
// the bank draws the codes, no other one is shown instead.
func (a *output) content(profile config.Profile, p order.Payment) (order.Code, time.Time, error) {
	if a.bank != nil && a.bank.Sof[p.Source] != "" && p.LivingCode(a.Now()) == nil {
		return order.Code{}, time.Time{}, errors.New("there is no payment code of the bank's")
	}
	return p.Code(profile.QRContent, a.Now())
}

func (a *output) writeCodeFile(p order.Payment, flags codeFlags) error {
	if why := p.Payable(a.Now()); why != nil {
		return &failure{Code: "no_code", Message: fmt.Sprintf("no code is written for order %s: %s", p.OrderID, why), ExitCode: exitRejected}
	}
	code, err := a.code(p)
	if err != nil {
		return err
	}
	err = noCode(render.QRFile(flags.file, code))
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if err != nil {
		return &outputError{err}
	}
	a.note("wrote %s (%s)", flags.file, code.Caption)
	return nil
}
