package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/secret"
)

// output writes a command's results to stdout.
type output struct {
	*deps
	query     *render.Query // --jq, compiled before anything is sent
	streaming bool          // one JSON object per line, even at a terminal
	writeErr  error         // the last failed write to stdout
}

// format returns the output format: from the flag, else from the configuration.
// has lists the command's formats, its default first. An unsupported format is a
// usage error in the flag; in VILLAPAY_OUTPUT or the config file it means the
// default.
func (a *output) format(has ...config.Format) (config.Format, error) {
	asked := a.flags.output
	switch {
	case a.flags.jq != "":
		return config.FormatJSON, a.compileQuery(has)
	case asked != "" && !slices.Contains(has, asked):
		return "", usageError("choose one of "+formatNames(has), "this command has no %s output", asked)
	case asked != "":
		return asked, nil
	}
	settings, err := a.settings()
	if err != nil {
		return "", err
	}
	if inherited := config.Format(settings.Output.Value); slices.Contains(has, inherited) {
		return inherited, nil
	}
	return has[0], nil
}

// flagFormat is format for commands that write JSON and YAML only with -o or --jq.
// It reads no configuration.
func (a *output) flagFormat() (config.Format, error) {
	if a.flags.output == "" && a.flags.jq == "" {
		return config.FormatTable, nil
	}
	return a.format(config.FormatTable, config.FormatJSON, config.FormatYAML)
}

func (a *output) compileQuery(has []config.Format) error {
	if asked := a.flags.output; asked != "" && asked != config.FormatJSON {
		return usageError("omit -o", "--jq works on JSON, not on %s", asked)
	}
	if !slices.Contains(has, config.FormatJSON) {
		return usageError("", "this command has no JSON output for --jq to filter")
	}
	query, err := render.JQ(a.flags.jq)
	if err != nil {
		return usageError("see https://jqlang.org/manual", "--jq: %s", err)
	}
	a.query = query
	return nil
}

func formatNames(formats []config.Format) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// formatOrDefault is format for commands that also work with an invalid
// configuration.
func (a *output) formatOrDefault(has ...config.Format) (config.Format, error) {
	format, err := a.format(has...)
	if _, ok := errors.AsType[*config.Error](err); ok {
		return has[0], nil
	}
	return format, err
}

// showPayment writes one payment, and its code to a file with --qr-file. withCode
// also draws the code under the table at a terminal.
func (a *output) showPayment(ctx context.Context, format config.Format, p order.Payment, code codeFlags, withCode bool) error {
	for _, w := range p.Warnings {
		a.warn("%s", w.Message)
	}
	var writeErr error
	if code.file != "" { // first: a note after the code could push it off the screen
		writeErr = a.writeCodeFile(ctx, p, code)
	}
	if err := a.showAs(ctx, format, p, code, withCode); err != nil {
		return err
	}
	return writeErr
}

func (a *output) showAs(ctx context.Context, format config.Format, p order.Payment, code codeFlags, withCode bool) error {
	switch format {
	case config.FormatJSON, config.FormatYAML:
		raw, err := render.PaymentJSON(a.view(ctx, p))
		if err != nil {
			return err
		}
		return a.writeJSON(ctx, format, raw)
	case config.FormatQR:
		return a.drawCode(ctx, p, code, a.Err)
	}
	if p.Env == "" { // another tool made it
		p.Env = a.envNow(p)
	}
	if err := render.Payment(a.writer(), a.screen(), p, a.live()); err != nil {
		return err
	}
	if payable := p.Payable(a.now()) == nil; !withCode || !a.OutTTY || !payable {
		return nil
	}
	err := a.drawCode(ctx, p, code, a.Out)
	if f, ok := errors.AsType[*failure](err); ok { // the table was written; the code is extra
		text := f.Error()
		if f.Hint != "" {
			text += "; " + f.Hint
		}
		a.warn("%s", text)
		return nil
	}
	return err
}

// previewRequest returns the request that would make an order, with the token
// redacted. It needs no sign-in and opens no connection.
func (a *output) previewRequest(ctx context.Context, orderID string, source order.Source, key string) (*http.Request, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	profile := settings.Profile
	client := &api.Client{BaseURL: profile.BaseURL, OrderPath: profile.OrderPath, IdempotencyHeader: profile.IdempotencyHeader, UserAgent: a.userAgent()}
	if profile.Sandbox {
		client.BaseURL = sandboxURL
	}
	if key == "" {
		key = newKey()
	}
	req, err := client.OrderRequest(ctx, orderID, source, key)
	if err == nil && !profile.Sandbox {
		req.Header.Set("Authorization", secret.Redacted)
	}
	return req, err
}

// showRequest writes the request of --dry-run.
func (a *output) showRequest(ctx context.Context, format config.Format, req *http.Request) error {
	if format == config.FormatTable {
		var text bytes.Buffer
		if err := (&debugTransport{bodies: true}).writeRequest(&text, req); err != nil {
			return err
		}
		return a.write(text.Bytes())
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	headers := map[string]string{}
	for name := range req.Header {
		headers[name] = req.Header.Get(name)
	}
	return a.writeValue(ctx, format, struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	}{req.Method, req.URL.String(), headers, body})
}
