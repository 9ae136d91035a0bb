package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// arrival is the content of a redirect: a code, or an error. Whether it signed the
// user in goes back on signedIn, for the page in the browser.
type arrival struct {
	code     string
	err      error
	signedIn chan<- bool
}

// byListener opens the browser, waits for its redirect and redeems it.
func (f *flow) byListener(ctx context.Context, listener net.Listener, open func(url string) error) (Tokens, error) {
	arrived := make(chan arrival, 1)
	server := &http.Server{
		Handler:           f.callback(arrived),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout:   2 * callTimeout, // the page waits for the tokens
		MaxHeaderBytes: 64 << 10,
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	defer func() {
		// The page is still being written when the tokens are here.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
		<-served
	}()
	if err := f.preflight(ctx); err != nil {
		return Tokens{}, err
	}
	if err := open(f.url()); err != nil {
		f.note("the browser did not open: " + err.Error() + "; open the address above")
	}
	select {
	case a := <-arrived:
		tokens, err := Tokens{}, a.err
		if err == nil {
			tokens, err = f.redeem(ctx, a.code)
		}
		a.signedIn <- err == nil
		return tokens, err
	case <-ctx.Done():
		return Tokens{}, ctx.Err()
	}
}

// callback answers the browser. A request without this sign-in's state is an
// error and changes nothing.
func (f *flow) callback(arrived chan<- arrival) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		code, err := f.read(r.URL.Query())
		var authErr *Error
		if err != nil && !errors.As(err, &authErr) {
			page(w, http.StatusBadRequest, "Not this sign-in", "This address does not belong to the sign-in that villapay waits for.")
			return
		}
		signedIn := make(chan bool, 1)
		select {
		case arrived <- arrival{code, err, signedIn}:
		default: // a reload: the first one counts
			page(w, http.StatusConflict, "Answered already", "villapay has the answer. You can close this page.")
			return
		}
		select {
		case ok := <-signedIn:
			if ok {
				page(w, http.StatusOK, "You are signed in", "You can close this page. villapay continues in the terminal.")
				return
			}
			page(w, http.StatusForbidden, "Not signed in", "See the terminal for the reason.")
		case <-r.Context().Done():
		}
	})
	return mux
}

// page writes a page that loads nothing from anywhere.
func page(w http.ResponseWriter, status int, title, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("Referrer-Policy", "no-referrer") // the address holds the code
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>villapay: %[1]s</title>
<body style="font:1.1rem system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem"><h1>%[1]s</h1><p>%[2]s</p></body></html>
`, title, text)
}

// OpenBrowser shows address, which must be http or https, in the user's browser,
// without a shell or our secrets. It returns as soon as the opener has worked, or
// has not failed for two seconds: some openers live as long as the browser.
func OpenBrowser(ctx context.Context, address string) error {
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("not a web address")
	}
	name, args, err := opener(runtime.GOOS, os.Getenv)
	if err != nil {
		return err
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), name, append(args, address)...) //nolint:gosec // a fixed program; no shell
	command.Env = childEnv(os.Environ())
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// childEnv is the environment without our variables, which hold secrets.
func childEnv(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=") // Windows does not mind the case
		return strings.HasPrefix(name, "VILLAPAY_") || name == "PGPASSWORD"
	})
}

// opener is the system's command to open an address. Without a display there is
// none: xdg-open would start a browser inside the terminal.
func opener(system string, getenv func(string) string) (name string, args []string, err error) {
	switch system {
	case "darwin":
		return "open", nil, nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}, nil
	}
	if strings.TrimSpace(getenv("DISPLAY")+getenv("WAYLAND_DISPLAY")+getenv("BROWSER")) == "" {
		return "", nil, errors.New("there is no display")
	}
	return "xdg-open", nil, nil
}
