package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/sanitize"
)

// rawCall makes an authenticated call to an endpoint that villapay does not know.
type rawCall struct {
	app     *app
	method  string
	fields  []string
	input   string
	include bool
}

func newAPI(a *app) *cobra.Command {
	c := &rawCall{app: a}
	cmd := &cobra.Command{
		Use:   "api PATH",
		Short: "Make an authenticated API request",
		Long: `Sends one request to a path below the environment's base URL, with the same
sign-in as any other command, and writes the response body to stdout, even if it
is an error. The default method is GET, or POST with -f or --input. Only GET and
HEAD requests are retried.`,
		Example: `  villapay api /checkstatus/492500004632 --env sandbox
  villapay api /qrpayment -f orderid=492500004632 -f source=qr --env sandbox
  villapay api /checkstatus/492500004632 --env sandbox --jq .body.status`,
		Args: exactArgs("a path"), ValidArgsFunction: cobra.NoFileCompletions, RunE: a.run(c.run),
	}
	f := cmd.Flags()
	f.StringVarP(&c.method, "method", "X", "", "HTTP `METHOD` (default: GET, or POST with -f or --input)")
	f.StringArrayVarP(&c.fields, "field", "f", nil, "put `KEY=VALUE` into the JSON body, or with GET into the query; repeatable")
	complete(cmd, "method", methods()...)
	f.StringVar(&c.input, "input", "", "send `FILE` as the body; - is stdin")
	f.BoolVarP(&c.include, "include", "i", false, "write the status line and the headers too")
	return cmd
}

func (c *rawCall) run(ctx context.Context, args []string) error {
	if _, err := c.app.format("json"); err != nil {
		return err
	}
	method, err := c.verb()
	if err != nil {
		return err
	}
	settings, err := c.app.settings()
	if err != nil {
		return err
	}
	path, err := c.path(settings.Profile, method, args[0])
	if err != nil {
		return err
	}
	body, err := c.body(ctx, method)
	if err != nil {
		return err
	}
	if live := settings.LiveAt(path); live != "" && !isSafe(method) {
		if err := c.app.confirmLive(ctx, live, fmt.Sprintf("Send %s %s to the LIVE environment %s?", method, path, live)); err != nil {
			return err
		}
	}
	client, err := c.app.client(1)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, settings.Profile.Timeout)
	defer cancel()
	answer, err := c.call(asking, client, method, path, body)
	if answer == nil {
		return err
	}
	written := c.write(ctx, answer)
	if _, lost := errors.AsType[*outputError](written); written != nil && err != nil && !lost {
		c.app.warn("%s", written) // the API's error matters more
		return err
	}
	if written != nil {
		return written
	}
	return err
}

// call sends the request. If the response has an error status, it returns both
// the response and the error.
func (c *rawCall) call(ctx context.Context, client *api.Client, method, path string, body []byte) (answer *api.Response, err error) {
	once := func(ctx context.Context) error {
		req, err := client.Request(ctx, method, path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if len(body) > 0 {
			req.Header.Set("Content-Type", "application/json")
		}
		if answer, err = client.Do(req); err != nil {
			return err
		}
		return answer.Failure()
	}
	if isSafe(method) {
		_, err = client.Retry(ctx, once)
		var failed *api.Error
		if errors.As(err, &failed) && failed.Kind == api.Unknown {
			failed.Kind = api.Unavailable // a safe method changes nothing
		}
		return answer, err
	}
	err = client.Once(ctx, once)
	var failed *api.Error
	if errors.As(err, &failed) && failed.Kind == api.Unknown {
		explained := explainCall(failed)
		explained.Hint = "the request may have succeeded; check before you send it again"
		return answer, explained
	}
	return answer, err
}

// isSafe reports whether a method is safe (RFC 9110), so it may be retried.
func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func methods() []string { return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} }

func (c *rawCall) verb() (string, error) {
	if c.input != "" && len(c.fields) > 0 {
		return "", usageError("", "-f and --input cannot be used together")
	}
	method := strings.ToUpper(c.method)
	if method == "" {
		method = http.MethodGet
		if c.input != "" || len(c.fields) > 0 {
			method = http.MethodPost
		}
	}
	if !slices.Contains(methods(), method) {
		return "", usageError("choose one of "+strings.Join(methods(), ", "), "-X: unknown method %q", c.method)
	}
	return method, nil
}

// path parses the argument: a path, or a URL below the environment's base URL.
// The fields of a safe request become its query.
func (c *rawCall) path(profile config.Profile, method, arg string) (string, error) {
	asked, err := url.Parse(arg)
	if err != nil {
		return "", usageError("an example: villapay api /checkstatus/492500004632", "the argument is not a path") // not quoted: it may hold a password
	}
	if asked.IsAbs() || asked.Host != "" {
		rest, ok := strings.CutPrefix(arg, profile.BaseURL+"/")
		if !ok || profile.Sandbox {
			return "", usageError("give only the path", "the argument is not below the base URL of %s", profile.Name) // as above
		}
		arg = rest
	}
	if strings.Contains(arg, "#") {
		return "", usageError("write # as %23", "%q has a fragment, which is never sent", arg)
	}
	if slices.Contains(strings.Split(asked.Path, "/"), "..") {
		return "", usageError("", "%q leaves the base URL", arg)
	}
	if !isSafe(method) || len(c.fields) == 0 {
		return arg, nil
	}
	fields, err := c.pairs()
	if err != nil {
		return "", err
	}
	query := url.Values{}
	for key, value := range fields {
		query.Set(key, value)
	}
	if asked.RawQuery != "" {
		return arg + "&" + query.Encode(), nil
	}
	return strings.TrimSuffix(arg, "?") + "?" + query.Encode(), nil
}

func (c *rawCall) pairs() (map[string]string, error) {
	pairs := map[string]string{}
	for _, field := range c.fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok || key == "" {
			return nil, usageError("an example: -f orderid=492500004632", "-f: %q is not KEY=VALUE", field)
		}
		pairs[key] = value
	}
	return pairs, nil
}

// maxInput is the size limit of --input, in bytes.
const maxInput = 10 << 20

func (c *rawCall) body(ctx context.Context, method string) ([]byte, error) {
	switch {
	case c.input != "":
		return c.readInput(ctx)
	case len(c.fields) > 0 && !isSafe(method):
		pairs, err := c.pairs()
		if err != nil {
			return nil, err
		}
		return json.Marshal(pairs)
	}
	return nil, nil
}

func (c *rawCall) readInput(ctx context.Context) ([]byte, error) {
	from, err := c.app.openInput(ctx, c.input)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), usageError("", "--input: %s", err))
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, usageError("", "--input: %s", err)
	case len(data) > maxInput:
		return nil, usageError("", "--input: larger than 10 MiB")
	}
	return data, nil
}

// write writes the response to stdout unchanged, or sanitized at a terminal.
func (c *rawCall) write(ctx context.Context, answer *api.Response) error {
	var out bytes.Buffer
	if c.include {
		fmt.Fprintf(&out, "HTTP %d %s\n", answer.Status, http.StatusText(answer.Status))
		for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
			fmt.Fprintf(&out, "%s\n", sanitize.Text(name+": "+strings.Join(answer.Header[name], ", ")))
		}
		out.WriteByte('\n')
	}
	if err := c.app.write(out.Bytes()); err != nil {
		return err
	}
	switch {
	case len(answer.Body) == 0:
		return nil
	case json.Valid(answer.Body) && (c.app.query != nil || c.app.OutTTY):
		return c.app.writeJSON(ctx, "json", answer.Body)
	case c.app.query != nil:
		return &failure{Code: "not_json", Message: "the response is not JSON, so --jq cannot filter it", ExitCode: exitInternal}
	case c.app.OutTTY:
		return c.app.write([]byte(sanitize.Text(string(answer.Body)) + "\n"))
	}
	return c.app.write(answer.Body)
}
