package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
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
	style render.QRStyle
	file  string
}

func (c *codeFlags) register(cmd *cobra.Command) {
	addChoice(cmd, &c.style, "qr-style", "draw the code in `STYLE`: half, full, plain or plain-invert", render.QRStyles()...)
	cmd.Flags().StringVar(&c.file, "qr-file", "", "write the code to `FILE` too, .png or .svg")
}

// check checks the flags for a format. drawn are the formats with which a code is drawn.
func (c *codeFlags) check(format config.Format, drawn ...config.Format) error {
	if c.style != "" && !slices.Contains(drawn, format) {
		return usageError("add -o qr, or omit --qr-style", "--qr-style: with -o %s no code is drawn", format)
	}
	if c.file == "" {
		return nil
	}
	err := render.CheckQRFile(c.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usageError("make the directory first: mkdir -p "+shellWord(filepath.Dir(c.file)), "%s", err)
	case err != nil:
		return usageError("", "%s", err)
	}
	return nil
}

// fetchCode fetches the bank's code for a payment, if the bank draws the codes, and
// records any other code that can be paid. If that fails, the order still stands:
// the payment is returned with a warning, together with the failure.
func (a *output) fetchCode(ctx context.Context, service *payment.Service, p order.Payment) (order.Payment, *failure) {
	p, err := service.Code(ctx, p)
	if err == nil {
		p, err = a.recordPage(ctx, service, p)
	}
	return a.codeWarning(p, err)
}

// codeWarning adds a warning to a payment without its code.
func (a *output) codeWarning(p order.Payment, err error) (order.Payment, *failure) {
	if err == nil {
		return p, nil
	}
	f := a.codeFailure(p, err)
	message := f.Message
	if hint := a.keyHint(err); hint != "" {
		message = strings.TrimSuffix(message, ".") + hint
	}
	p.Warnings = append(p.Warnings, order.Warning{Code: "bank_code", Message: message})
	return p, f
}

// recordPage records that a code is shown that did not come from the bank, but that
// can be paid: it cannot be canceled. No such code is shown unless it is recorded.
func (a *output) recordPage(ctx context.Context, service *payment.Service, p order.Payment) (order.Payment, error) {
	settings, err := a.settings()
	now := a.now()
	if err != nil || p.Payable(now) != nil || p.LivingCode(now) != nil || holdsPage(p, now) || service.DrawsCodes(p.Source) {
		return p, err
	}
	code, _, why := p.Code(settings.Profile.QRContent, now)
	if why != nil || code.Kind == order.Reference {
		return p, nil //nolint:nilerr // drawCode reports it
	}
	recorded, _, err := service.Ledger.RecordPage(ctx, p)
	if _, doubt := errors.AsType[*order.DoubtError](err); err != nil && !doubt {
		err = &payment.NotRecordedError{Key: p.Key, Err: err}
	}
	return recorded, err
}

// holdsPage reports whether it is recorded that a code that did not come from the bank
// is shown.
func holdsPage(p order.Payment, now time.Time) bool {
	return p.HoldsCode(now) && p.Held.Kind == order.Page
}

// codeFailure is the failure of a command that could not fetch the bank's code.
func (a *output) codeFailure(p order.Payment, err error) *failure {
	stands := "order " + p.OrderID + " stands, but its payment code could not be fetched: "
	f := &failure{
		Code: "bank_code", Message: stands + err.Error(),
		Hint: "run `" + a.sourceCommand("order show", p, "-o", "qr") + "` for its code", Retryable: true, ExitCode: exitUnknown,
	}
	var call *api.Error
	var wrong *kbank.WrongCodeError
	var held *payment.HeldError
	switch {
	case errors.As(err, &call):
		f.Message, f.text = stands+call.Message, stands+call.Error()
		f.Status, f.RequestID = call.Status, call.RequestID
		if call.Kind == api.Denied {
			f.Hint = a.rightKey()
		}
		if call.Kind == api.Rejected {
			f.Retryable, f.ExitCode = false, exitRejected
		}
	case errors.As(err, &wrong), errors.As(err, &held):
		f.Retryable, f.ExitCode = false, exitRejected
	}
	if f.ExitCode == exitRejected {
		f.Hint = "make another order: " + a.sourceCommand("pay qr", p, "--new")
	}
	return f
}

// keyHint continues a warning that the bank could not be asked, if it does not accept
// the secret key.
func (a *deps) keyHint(err error) string {
	call, ok := errors.AsType[*api.Error](err)
	if !ok || call.Kind != api.Denied {
		return ""
	}
	return "; " + a.rightKey()
}

// rightKey is the hint for a secret key that the bank does not accept.
func (a *deps) rightKey() string {
	if _, set := a.LookupEnv(kbankVariable); set {
		return "set " + kbankVariable + " to the right one"
	}
	return "enter the right one: villapay login --kbank-secret -e " + a.config.Profile.Name
}

// view returns the payment for rendering as JSON, with its code if that may be
// shown. The content of a code depends on the settings of its environment.
func (a *output) view(ctx context.Context, p order.Payment) render.View {
	v := render.View{Payment: p, Now: a.now()}
	settings, err := a.settings()
	if err == nil && p.Env == "" { // another tool made it
		v.Payment.Env = settings.Profile.Name
	}
	if err != nil || settings.Profile.Scope() != p.Scope || p.Payable(a.now()) != nil {
		return v
	}
	if code, until, err := a.content(ctx, settings.Profile, p); err == nil {
		v.Code, v.Until = &code, until
	}
	return v
}

// drawCode draws a payment's code with its caption above it; below, the caption
// could push the code's first row off the screen. If the code cannot be drawn, its
// text is written instead, and the error says why.
func (a *output) drawCode(ctx context.Context, p order.Payment, flags codeFlags, caption io.Writer) error {
	if why := p.Payable(a.now()); why != nil {
		return &failure{Code: "no_code", Message: fmt.Sprintf("no code is drawn for order %s: %s", p.OrderID, why), Hint: a.hintAnother(ctx, p), ExitCode: exitRejected}
	}
	code, err := a.code(ctx, p)
	if err != nil {
		return err
	}
	drawn, drawErr := a.draw(code, flags.style)
	if len(drawn) > 0 {
		fmt.Fprintln(caption, a.screen().Text(code.Caption))
		if err := a.write(drawn); err != nil {
			return err
		}
	}
	return noCode(drawErr)
}

// noCode explains a code that does not fit the terminal or is too long for a QR
// code.
func noCode(err error) error {
	var notDrawn *render.NotDrawn
	var tooLong *render.TooLong
	switch {
	case errors.As(err, &notDrawn):
		return &failure{Code: "no_code", Message: err.Error(), Hint: notDrawn.Hint(), ExitCode: exitRejected}
	case errors.As(err, &tooLong):
		return &failure{Code: "no_code", Message: err.Error(), ExitCode: exitRejected}
	}
	return err
}

// draw draws a code that leaves room for its caption, if both fit. Beside an error
// it returns the code's text.
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

func (a *output) code(ctx context.Context, p order.Payment) (render.Code, error) {
	settings, err := a.settings()
	if err != nil {
		return render.Code{}, err
	}
	code, until, err := a.content(ctx, settings.Profile, p)
	if err != nil {
		return render.Code{}, &failure{Code: "bad_code", Message: fmt.Sprintf("no code is drawn for order %s: %s", p.OrderID, err), ExitCode: exitRejected}
	}
	return render.NewCode(code, p, until), nil
}

// content returns the content of a payment's code and when the code expires. If the
// bank draws the codes, no other code is shown in its place. Any other code that can
// be paid is shown only once that is recorded.
func (a *output) content(ctx context.Context, profile config.Profile, p order.Payment) (order.Code, time.Time, error) {
	now := a.now()
	living := p.LivingCode(now) != nil
	if !living && a.bankDraws(ctx, p.Source) {
		return order.Code{}, time.Time{}, errors.New("the bank's payment code has not been fetched")
	}
	code, until, err := p.Code(profile.QRContent, now)
	if err == nil && !living && code.Kind != order.Reference && !holdsPage(p, now) {
		return order.Code{}, time.Time{}, errors.New("`villapay order show " + p.OrderID + " -o qr` draws it")
	}
	return code, until, err
}

func (a *output) writeCodeFile(ctx context.Context, p order.Payment, flags codeFlags) error {
	if why := p.Payable(a.now()); why != nil {
		return &failure{Code: "no_code", Message: fmt.Sprintf("no code is written for order %s: %s", p.OrderID, why), Hint: a.hintAnother(ctx, p), ExitCode: exitRejected}
	}
	code, err := a.code(ctx, p)
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
