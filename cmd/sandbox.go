package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
)

func newSandbox(a *app) *cobra.Command {
	return withSandboxPage(group("sandbox", "The embedded stand-in for the API, its sign-in and the bank",
		"  villapay pay qr 492500004632 --env sandbox\n  villapay sandbox pay 492500004632",
		newSandboxServe(a), newSandboxPay(a), newSandboxReset(a)))
}

type sandboxServe struct {
	app         *app
	addr        string
	latency     time.Duration
	fail        string
	requireAuth bool
}

func newSandboxServe(a *app) *cobra.Command {
	c := &sandboxServe{app: a}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the sandbox on a loopback port, for any client",
		Long: `Serves the sandbox's API, sign-in and bank on a loopback port until Ctrl-C. It
shares its orders with --env sandbox. Its URL is the only line on stdout; append
` + sandbox.BankPath + ` for the bank's API.`,
		Example: `  villapay sandbox serve --addr 127.0.0.1:8080
  villapay sandbox serve --latency 200ms --fail 503=10%,lost=5%
  VILLAPAY_BASE_URL=http://127.0.0.1:8080 VILLAPAY_TOKEN=any villapay pay qr 492500004632`,
		Args: exactArgs(), RunE: a.plain(c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.addr, "addr", "127.0.0.1:0", "listen on `ADDRESS`; port 0 picks a free one")
	f.DurationVar(&c.latency, "latency", 0, "add `TIME` to every answer, such as 200ms")
	f.StringVar(&c.fail, "fail", "", "fail at random with `FAULTS`, such as 503=10%,lost=5%")
	f.BoolVar(&c.requireAuth, "require-auth", false, "require a token of the sandbox's sign-in, and the bank's key")
	return cmd
}

func (c *sandboxServe) run(ctx context.Context, _ []string) error {
	fail, err := sandbox.ParseFail(c.fail)
	if err != nil {
		return usageError("an example: --fail 503=10%,lost=5%", "--fail: %s", err)
	}
	dir, err := c.app.sandboxDir()
	if err != nil {
		return err
	}
	listener, err := listenLoopback(ctx, c.addr)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	pool, err := cognito.New(cognito.Options{Dir: dir, Now: c.app.Now, Issuer: url})
	if err != nil {
		return &localError{err: err}
	}
	options := sandbox.Options{Dir: dir, Now: c.app.Now, Latency: c.latency, Fail: fail, SignIn: pool}
	if c.requireAuth {
		options.Authorizer, options.BankKey = pool, sandbox.BankKey
	}
	stand := sandbox.New(options)
	defer stand.Close()
	if err := c.app.write([]byte(url + "\n")); err != nil {
		return err
	}
	c.app.note("serving the sandbox; Ctrl-C ends it")
	return c.app.serve(ctx, listener, stand)
}

func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usageError("an example: --addr 127.0.0.1:8080", "--addr: %s", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usageError("an example: --addr 127.0.0.1:8080", "--addr: %s is not on loopback", addr)
	}
	return listen(ctx, addr)
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &localError{err: err, hint: "choose another --addr"}
	}
	return listener, nil
}

// serve runs a server until Ctrl-C, which is not an error.
func (a *app) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	if err := httpserver.Run(ctx, listener, handler, a.log()); err != nil {
		return &localError{err: err}
	}
	return nil
}

func (a *deps) sandboxDir() (string, error) {
	dir, err := a.stateDir()
	return filepath.Join(dir, "sandbox"), err
}

type sandboxPay struct {
	app   *app
	state string
}

func newSandboxPay(a *app) *cobra.Command {
	c := &sandboxPay{app: a}
	cmd := &cobra.Command{
		Use:   "pay ORDERID",
		Short: "Pay a sandbox order, as a customer and the bank would",
		Example: `  villapay pay qr 492500004632 --env sandbox
  villapay sandbox pay 492500004632
  villapay order status 492500004632 --env sandbox`,
		Args: oneOrder, ValidArgsFunction: a.completeSandboxOrder, RunE: a.run(c.run),
	}
	cmd.Flags().StringVar(&c.state, "state", "Authorized", "the charge's transaction `STATE`, such as Settled, Declined or Voided")
	complete(cmd, "state", sandbox.States()...)
	return cmd
}

func (c *sandboxPay) run(ctx context.Context, args []string) error {
	format, err := c.app.formatOrDefault("table", "json", "yaml")
	if err != nil {
		return err
	}
	stand, err := c.app.openSandbox()
	if err != nil {
		return err
	}
	notification, err := stand.Pay(ctx, args[0], c.state)
	if errors.Is(err, sandbox.ErrNoOrder) {
		return &failure{Code: "no_order", Message: fmt.Sprintf("the sandbox has no payment order for %s", args[0]), Hint: fmt.Sprintf("make it first: villapay pay qr %s --env sandbox", args[0]), ExitCode: exitRejected}
	}
	if closed, ok := errors.AsType[*sandbox.ClosedError](err); ok {
		return &failure{Code: "not_open", Message: closed.Error(), Hint: "make another order: villapay pay qr " + closed.OrderID + " --new --env sandbox", ExitCode: exitRejected}
	}
	if err != nil {
		return &localError{err, hintSandbox}
	}
	if format != "table" {
		return c.app.writeValue(ctx, format, notification)
	}
	amount, err := order.ParseAmount(notification.Amount.String())
	if err != nil {
		return err
	}
	return render.Table(c.app.writer(), c.app.screen(), []string{"Charge", "Order", "State", "Amount"},
		[][]string{{notification.ID, args[0], notification.TransactionState, render.Money(amount, notification.Currency)}})
}

type sandboxReset struct{ app *app }

func newSandboxReset(a *app) *cobra.Command {
	c := &sandboxReset{a}
	return &cobra.Command{
		Use: "reset", Short: "Delete the sandbox's orders", Example: "  villapay sandbox reset",
		Long: `Deletes the sandbox's orders. The ledger keeps its records of sandbox payments.`,
		Args: exactArgs(), RunE: a.change(c.run, func(context.Context, []string) (any, error) {
			return struct {
				Orders int `json:"orders"`
			}{0}, nil
		}),
	}
}

func (c *sandboxReset) run(ctx context.Context, _ []string) error {
	stand, err := c.app.openSandbox()
	if err != nil {
		return err
	}
	if err := stand.Reset(ctx); err != nil {
		return &localError{err: err}
	}
	dir, err := c.app.sandboxDir()
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "cognito.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &localError{err: err}
	}
	c.app.note("the sandbox is empty")
	return nil
}
