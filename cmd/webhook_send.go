package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/webhook"
)

type webhookSend struct {
	app    *app
	to     string
	state  string
	fault  string
	print  bool
	secret secretFlag
}

func newWebhookSend(a *app) *cobra.Command {
	c := &webhookSend{app: a}
	var faults []string
	var rows [][2]string
	for _, f := range webhook.Faults() {
		faults = append(faults, f.Name)
		rows = append(rows, [2]string{f.Name, f.What})
	}
	help := bytes.NewBufferString("\n\nFaults (--fault):\n\n")
	twoColumns(help, rows)
	cmd := &cobra.Command{
		Use:   "send ORDERID",
		Short: "Send a signed test notification about a recorded order",
		Long:  "Sends a listener the notification that the bank would send about a recorded\norder, signed with the secret key. In a live environment it asks for\nconfirmation; without a terminal it needs --yes." + help.String(),
		Example: `  villapay webhook send 492500004632 --env sandbox
  villapay webhook send 492500004632 --env sandbox --state Declined
  villapay webhook send 492500004632 --env sandbox --fault forged`,
		Args: oneOrder, ValidArgsFunction: a.completeOrderID, RunE: a.plain(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.to, "to", "http://"+listenAddr+"/", "the listener's `URL`")
	f.StringVar(&c.state, "state", "Authorized", "the charge's transaction `STATE`, such as Settled, Declined or Voided")
	addChoice(cmd, &c.fault, "fault", "send an invalid notification; `FAULT` is one of the above", faults...)
	f.BoolVar(&c.print, "print", false, "write it to stdout; send nothing")
	c.secret.register(cmd)
	complete(cmd, "state", sandbox.States()...)
	return cmd
}

func (c *webhookSend) run(ctx context.Context, args []string) error {
	to, err := url.Parse(c.to)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return usageError("an example: --to http://127.0.0.1:8975/", "--to is not a URL") // not quoted: it may hold a password
	}
	key, err := c.secret.key(ctx, c.app)
	if err != nil {
		return err
	}
	_, payments, err := c.app.orderPayments(ctx, args[0])
	if err != nil {
		return err
	}
	chosen, _ := order.Answering(payments)
	body, err := webhook.Compose(chosen, c.state, c.fault, key, c.app.Now())
	if err != nil {
		return &failure{Code: "no_order", Message: err.Error(), ExitCode: exitRejected}
	}
	if c.print {
		return c.app.write(append(body, '\n'))
	}
	if profile := c.app.config.Profile; profile.Live {
		if err := c.app.confirmLive(ctx, profile.Name, fmt.Sprintf("Send a made-up notification about the LIVE order %s in %s? A listener takes it for the bank's.", args[0], profile.Name)); err != nil {
			return err
		}
	}
	return c.send(ctx, body)
}

func (c *webhookSend) send(ctx context.Context, body []byte) error {
	transport, err := api.NewTransport(1)
	if err != nil {
		return &localError{err: err}
	}
	status, err := webhook.Send(ctx, &http.Client{Transport: transport}, c.to, body)
	if err != nil {
		f := &failure{Code: "unreachable", Message: "cannot reach " + c.to, Hint: "run `villapay webhook listen`", Retryable: true, ExitCode: exitUnavailable}
		if errors.Is(err, webhook.ErrNoAnswer) {
			f.Code, f.Message, f.Hint, f.ExitCode = "unknown", c.to+" did not answer", "sending it again is safe", exitUnknown
		}
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			f.Message += ": " + wrapped.Err.Error()
		}
		return cmp.Or[error](ctx.Err(), f)
	}
	if err := c.app.write(fmt.Appendf(nil, "%d %s\n", status, strings.ToLower(http.StatusText(status)))); err != nil {
		return err
	}
	f := &failure{Code: "refused", Message: fmt.Sprintf("the listener answered %d", status), Status: status, ExitCode: exitRejected}
	switch {
	case status/100 == 2:
		return nil
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		f.Hint, f.Retryable, f.ExitCode = "send it again later: that is safe", true, exitUnavailable
	}
	return f
}
