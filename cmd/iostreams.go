package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/villapay/villapay/internal/auth"
	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/secret"
)

// Program is villapay's view of the process: its streams, environment and clock.
// Nothing else in this package uses them directly.
type Program struct {
	In       io.Reader
	Out, Err io.Writer

	InTTY, OutTTY, ErrTTY bool
	Size                  func() (columns, rows int) // of the terminal; 0, 0 if there is none
	Window                func() window              // for the live view
	OutGone               func() bool                // reports whether Out's reader is gone; may be nil

	// NotifySignals is called when a command starts. From then on Ctrl-C and SIGTERM
	// cancel Run's context. It slows down the start, so commands that only print,
	// such as help, skip it. May be nil.
	NotifySignals func()

	viewing atomic.Bool // a live view is on the terminal
	counted atomic.Bool // a progress bar is on the terminal

	LookupEnv func(name string) (value string, set bool)
	Environ   func() []string
	Now       func() time.Time
	Local     *time.Location // the machine's time zone
	Build     Build
}

// streams is the Program together with the global flags.
type streams struct {
	*Program
	flags globalFlags
}

// Getenv returns the trimmed value of a variable, "" if it is not set.
func (p *Program) Getenv(name string) string { return config.LookupEnv(p.LookupEnv).Get(name) }

// window delivers the terminal's events to a live view. The channels may be nil.
type window struct {
	resized   <-chan os.Signal
	suspended <-chan os.Signal // Ctrl-Z; the process stops only when suspend is called
	suspend   func()           // stops the process until its shell continues it
	release   func()
}

func (a *streams) screenOf(tty bool) render.Screen {
	s := render.Screen{
		TTY:   tty,
		Dumb:  a.Getenv("TERM") == "dumb",
		UTF8:  utf8Locale(a.Getenv),
		Color: a.color(tty),
	}
	if tty {
		s.Columns, s.Rows = a.Size()
	}
	return s
}

// color reports whether to use colors, as no-color.org and clig.dev ask: the flag
// first, then NO_COLOR and TERM=dumb, then whether it is a terminal.
func (a *streams) color(tty bool) bool {
	switch a.flags.color {
	case "always":
		return true
	case "never":
		return false
	}
	return tty && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"
}

// utf8Locale reads the locale variables in POSIX order. Windows consoles take
// Unicode without them.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return runtime.GOOS == "windows"
}

// live reports whether the selected environment takes real money.
func (a *deps) live() bool {
	settings, err := a.settings()
	return err == nil && settings.Profile.Live
}

// interactive reports whether the user can be prompted.
func (a *streams) interactive() bool { return a.whyNotAsk("") == "" }

// whyNotAsk says why the user cannot be prompted, "" if that is possible. what ends
// "there is no terminal to ask".
func (a *streams) whyNotAsk(what string) string {
	switch {
	case a.flags.noInput:
		return "--no-input forbids asking"
	case isSet(a.Getenv("VILLAPAY_NO_INPUT")):
		return "VILLAPAY_NO_INPUT forbids asking"
	case !a.InTTY || !a.ErrTTY:
		return "there is no terminal to ask " + what
	case isSet(a.Getenv("CI")):
		return "CI is set, which forbids asking"
	}
	return ""
}

// isSet parses a boolean variable: anything but "", 0 and false is true.
func isSet(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// ctxReader makes reads cancelable; a pipe may block forever. A canceled read
// leaves its goroutine behind.
func ctxReader(ctx context.Context, r io.Reader) io.Reader {
	type result struct {
		n   int
		err error
	}
	return readerFunc(func(p []byte) (int, error) {
		buffer, done := make([]byte, len(p)), make(chan result, 1)
		go func() {
			n, err := r.Read(buffer)
			done <- result{n, err}
		}()
		select {
		case got := <-done:
			return copy(p, buffer[:got.n]), got.err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// writeGrace is how long a write may take after Ctrl-C, so that a reader still gets
// what a command has done.
const writeGrace = time.Second

// ctxWriter makes writes cancelable; a pipe that nobody reads blocks forever. A canceled
// write leaves its goroutine behind, so every later write fails.
func ctxWriter(ctx context.Context, w io.Writer) io.Writer {
	type result struct {
		n   int
		err error
	}
	var mu sync.Mutex
	var canceled error
	return writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if canceled != nil {
			return 0, canceled
		}
		data, done := bytes.Clone(p), make(chan result, 1)
		go func() {
			n, err := w.Write(data)
			done <- result{n, err}
		}()
		var late <-chan time.Time
		interrupted := ctx.Done()
		for {
			select {
			case got := <-done:
				return got.n, got.err
			case <-interrupted:
				interrupted, late = nil, time.After(writeGrace)
			case <-late:
				canceled = ctx.Err()
				return 0, canceled
			}
		}
	})
}

// openInput opens a file, or stdin for "-". Opening and reading are cancelable; a
// FIFO without a writer blocks both.
func (p *Program) openInput(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(ctxReader(ctx, p.In)), nil
	}
	var file *os.File
	opened := make(chan error, 1)
	go func() {
		var err error
		file, err = os.Open(name)
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, fmt.Errorf("%s is a directory", name)
	}
	return struct {
		io.Reader
		io.Closer
	}{ctxReader(ctx, file), file}, nil
}

// openBrowser opens url in the user's browser.
func openBrowser(ctx context.Context, url string) error {
	restoreSignals()
	return auth.OpenBrowser(ctx, url)
}

// note writes a note to stderr, unless --quiet is set.
func (a *streams) note(format string, args ...any) {
	if !a.flags.quiet {
		fmt.Fprintf(a.Err, "villapay: %s\n", a.sanitize(secret.RedactEvident(fmt.Sprintf(format, args...))))
	}
}

// warn writes a warning to stderr, even with --quiet.
func (a *streams) warn(format string, args ...any) {
	fmt.Fprintf(a.Err, "villapay: warning: %s\n", a.sanitize(secret.RedactEvident(fmt.Sprintf(format, args...))))
}

func (a *streams) sanitize(text string) string { return a.screenOf(a.ErrTTY).Text(text) }

// waitNotice is how long a request may take before the wait is reported.
const waitNotice = time.Second

// waiting reports at a terminal what villapay is waiting for, unless stop is called
// within waitNotice.
func (a *streams) waiting(what string) (stop func()) {
	if !a.ErrTTY {
		return func() {}
	}
	timer := time.AfterFunc(waitNotice, func() { a.status("waiting for %s", what) })
	return func() {
		if !timer.Stop() {
			a.endStatus()
		}
	}
}

// status shows one line at a terminal, until the next status or other text replaces
// it.
func (a *streams) status(format string, args ...any) {
	if !a.ErrTTY || a.flags.quiet || a.viewing.Load() || a.counted.Load() {
		return
	}
	line, ok := a.Err.(*statusWriter)
	if !ok {
		a.note(format, args...)
		return
	}
	screen := a.screenOf(true)
	screen.Columns = max(1, screen.Columns-1)
	line.status(render.Truncate(screen, "villapay: "+fmt.Sprintf(format, args...)))
}

// endStatus removes the status line before something else is written.
func (a *streams) endStatus() {
	if line, ok := a.Err.(*statusWriter); ok {
		line.mu.Lock()
		defer line.mu.Unlock()
		line.erase()
	}
}

// statusWriter is stderr at a terminal that can rewrite a line.
type statusWriter struct {
	to    io.Writer
	mu    sync.Mutex
	shown bool // the cursor is on a status line
}

// eraseLine returns to the line's start and erases it (ECMA-48).
const eraseLine = "\r\x1b[K"

func (w *statusWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erase()
	return w.to.Write(p)
}

func (w *statusWriter) erase() {
	if w.shown {
		w.shown = false
		_, _ = io.WriteString(w.to, eraseLine)
	}
}

func (w *statusWriter) status(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown = true
	_, _ = io.WriteString(w.to, eraseLine+line)
}
