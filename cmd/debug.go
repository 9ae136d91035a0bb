package cmd

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/sanitize"
	"github.com/villapay/villapay/internal/secret"
)

// debugTransport writes requests and responses to stderr, with secrets redacted: the
// request's, and what redact hides, if it is not nil. Without bodies it writes only
// their headers.
type debugTransport struct {
	next   http.RoundTripper
	to     io.Writer
	bodies bool
	redact func(text string) string
}

func (d *debugTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var text bytes.Buffer
	if err := d.writeRequest(&text, req); err != nil {
		return nil, err
	}
	_, _ = d.to.Write(text.Bytes())
	start := time.Now()
	resp, err := d.next.RoundTrip(req)
	took := time.Since(start).Round(time.Millisecond)
	text.Reset()
	if err != nil {
		fmt.Fprintf(&text, "< %s after %s\n", sanitize.Text(err.Error()), took)
	} else {
		d.writeResponse(&text, resp, took)
	}
	token, key := secret.New(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")), secret.New(req.Header.Get("X-Api-Key"))
	shown := secret.Redact(text.String(), token, key)
	if d.redact != nil {
		shown = d.redact(shown)
	}
	_, _ = io.WriteString(d.to, shown)
	return resp, err
}

func (d *debugTransport) writeRequest(w *bytes.Buffer, req *http.Request) error {
	fmt.Fprintf(w, "> %s %s\n", req.Method, sanitize.Text(req.URL.String()))
	writeHeader(w, "> ", req.Header)
	if req.Body == nil || !d.bodies {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	_ = req.Body.Close()
	req.Body = io.NopCloser(bytes.NewReader(body))
	fmt.Fprintf(w, "> %s\n", sanitize.Text(string(body)))
	return nil
}

func (d *debugTransport) writeResponse(w *bytes.Buffer, resp *http.Response, took time.Duration) {
	fmt.Fprintf(w, "< %s %s after %s\n", resp.Proto, sanitize.Text(resp.Status), took)
	writeHeader(w, "< ", resp.Header)
	if !d.bodies {
		return
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxBody+1))
	fmt.Fprintf(w, "< %s\n", sanitize.Text(string(head)))
	readErr := readerFunc(func([]byte) (int, error) { return 0, cmp.Or(err, io.EOF) })
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), readErr, resp.Body), resp.Body}
}

// waitNoticeTransport reports which server we are waiting for.
type waitNoticeTransport struct {
	next http.RoundTripper
	*streams
	server string
}

func (p *waitNoticeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	stop := p.waiting(p.server)
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		stop()
		return nil, err
	}
	resp.Body = &noticeBody{resp.Body, stop}
	return resp, nil
}

// noticeBody stops the wait notice when the body is closed.
type noticeBody struct {
	io.ReadCloser
	stop func()
}

func (a *noticeBody) Close() error {
	a.stop()
	return a.ReadCloser.Close()
}

// hiddenHeaders are the headers that hold secrets.
var hiddenHeaders = []string{"Authorization", "X-Api-Key", "Proxy-Authorization", "Cookie", "Set-Cookie"} //nolint:gochecknoglobals // a constant list

func writeHeader(w *bytes.Buffer, prefix string, header http.Header) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if slices.Contains(hiddenHeaders, name) {
				value = secret.Redacted
			}
			fmt.Fprintf(w, "%s%s\n", prefix, sanitize.Text(name+": "+value))
		}
	}
}
