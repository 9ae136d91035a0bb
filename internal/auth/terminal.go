package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/villapay/villapay/internal/secret"
)

// Terminal asks at a terminal, whatever stdin and stdout are. A prompt leaves the
// terminal as it was, also after Ctrl-C.
type Terminal struct {
	in, out *os.File
	fd      int // of in
}

// OpenTerminal opens the terminal of the process. It fails if there is none.
func OpenTerminal() (*Terminal, error) {
	if runtime.GOOS == "windows" {
		in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open the console: %w", err)
		}
		out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
		if err != nil {
			_ = in.Close()
			return nil, fmt.Errorf("open the console: %w", err)
		}
		return NewTerminal(in, out), nil
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	return NewTerminal(tty, tty), nil
}

// NewTerminal asks on out and reads from in, which must be a terminal.
func NewTerminal(in, out *os.File) *Terminal { return &Terminal{in, out, int(in.Fd())} }

// Note prints text for the user.
func (t *Terminal) Note(text string) { _, _ = fmt.Fprintln(t.out, text) }

// Line asks for a line, with echo.
func (t *Terminal) Line(ctx context.Context, label string) (string, error) {
	return t.ask(ctx, label, false)
}

// Secret asks for a line, without echo.
func (t *Terminal) Secret(ctx context.Context, label string) (secret.String, error) {
	text, err := t.ask(ctx, label, true)
	return secret.New(text), err
}

// Choose asks for one of the options by number and returns its index.
func (t *Terminal) Choose(ctx context.Context, label string, options []string) (int, error) {
	for i, option := range options {
		t.Note(fmt.Sprintf("  %d  %s", i+1, option))
	}
	for range maxTries {
		text, err := t.Line(ctx, fmt.Sprintf("%s [1-%d]: ", label, len(options)))
		if err != nil {
			return 0, err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n >= 1 && n <= len(options) {
			return n - 1, nil
		}
		t.Note("answer " + numbers(len(options)))
	}
	return 0, errors.New("no choice was made")
}

// numbers lists the answers to a choice: "1 or 2", or "a number from 1 to 4".
func numbers(n int) string {
	if n == 2 {
		return "1 or 2"
	}
	return fmt.Sprintf("a number from 1 to %d", n)
}

// ask shows the label and reads the answer. The terminal is always restored. If
// ctx ends, the read is left behind, since it cannot be canceled. After Ctrl-Z a
// shell has had the terminal, so everything is set and shown again.
func (t *Terminal) ask(ctx context.Context, label string, hidden bool) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	before, err := term.GetState(t.fd)
	if err != nil {
		return "", fmt.Errorf("ask at the terminal: %w", err)
	}
	continued, stop := continuations()
	defer stop()
	if err := t.show(label, hidden); err != nil {
		return "", err
	}
	defer func() {
		_ = term.Restore(t.fd, before)
		if hidden || ctx.Err() != nil {
			_, _ = fmt.Fprintln(t.out) // the line end did not show
		}
	}()
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := t.readLine()
		typed <- line{text, err}
	}()
	for {
		select {
		case l := <-typed:
			if errors.Is(l.err, io.EOF) {
				return "", errors.New("the prompt was closed without an answer")
			}
			return l.text, l.err
		case <-continued:
			if err := t.show(label, hidden); err != nil {
				return "", err
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// show prints the label, after it has turned off the echo: a script may answer at
// once.
func (t *Terminal) show(label string, hidden bool) error {
	if hidden {
		if err := hide(t.fd); err != nil {
			return fmt.Errorf("ask at the terminal: %w", err)
		}
	}
	_, _ = fmt.Fprint(t.out, label)
	return nil
}

// lineLimit bounds an answer, in bytes. A pasted redirect URL is the longest.
const lineLimit = 16 << 10

// readLine reads byte by byte, so that the rest is left for the next prompt.
func (t *Terminal) readLine() (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < lineLimit {
		n, err := t.in.Read(one)
		if n == 1 && one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		if n == 1 || err == io.EOF && len(line) > 0 {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return string(bytes.TrimRight(line, "\r")), nil
}
