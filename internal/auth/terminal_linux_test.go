package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal: keys are written to keyboard, and what shows is collected
// in screen.
type pty struct {
	keyboard, tty *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
	changed       chan struct{}
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	p := &pty{keyboard: keyboard, tty: tty, changed: make(chan struct{}, 1)}
	go p.watch()
	return p
}

func (p *pty) watch() {
	buffer := make([]byte, 1024)
	for {
		n, err := p.keyboard.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.shown.Write(buffer[:n])
		p.mu.Unlock()
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

func (p *pty) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// wait waits until text shows.
func (p *pty) wait(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.Contains(p.screen(), text) {
		select {
		case <-p.changed:
		case <-limit:
			t.Fatalf("%q does not show; what does is %q", text, p.screen())
		}
	}
}

func (p *pty) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.keyboard.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// echoes tells whether typing shows.
func (p *pty) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// echo makes typing show.
func (p *pty) echo(t *testing.T) {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	state.Lflag |= unix.ECHO
	if err := unix.IoctlSetTermios(int(p.tty.Fd()), unix.TCSETS, state); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) waitEcho(t *testing.T, want bool) {
	t.Helper()
	for start := time.Now(); p.echoes(t) != want; time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("the echo did not become %v", want)
		}
	}
}

func TestTerminalSecretDoesNotShow(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	go func() {
		p.wait(t, "Password: ") // and not a moment longer
		p.types(t, "hunter2 \n")
	}()
	got, err := NewTerminal(p.tty, p.tty).Secret(t.Context(), "Password: ")
	if err != nil || got.Reveal() != "hunter2 " {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
	p.wait(t, "Password: \r\n")
	if strings.Contains(p.screen(), "hunter2") || !p.echoes(t) {
		t.Errorf("shows %q, echo %v", p.screen(), p.echoes(t))
	}
}

func TestTerminalLines(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	terminal := NewTerminal(p.tty, p.tty)
	p.types(t, "ann\nnext\n")
	for _, want := range []string{"ann", "next"} {
		if got, err := terminal.Line(t.Context(), "Username: "); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	p.types(t, "half\x04\x04") // end of input after some letters counts as a line
	if got, err := terminal.Line(t.Context(), "Username: "); err != nil || got != "half" {
		t.Errorf("got %q, %v", got, err)
	}
	p.types(t, "\x04")
	if _, err := terminal.Line(t.Context(), "Username: "); err == nil || !strings.Contains(err.Error(), "closed without an answer") {
		t.Errorf("end of input: %v", err)
	}
}

func TestTerminalChoose(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	terminal := NewTerminal(p.tty, p.tty)
	p.types(t, "0\nx\n2\n")
	if got, err := terminal.Choose(t.Context(), "Factor", []string{"a code by SMS", "an app"}); err != nil || got != 1 {
		t.Errorf("got %d, %v", got, err)
	}
	p.wait(t, "  2  an app\r\n")
	p.wait(t, "Factor [1-2]: ")
	p.wait(t, "answer 1 or 2\r\n")
	p.types(t, "3\n3\n3\n")
	if got, err := terminal.Choose(t.Context(), "Factor", []string{"a", "b"}); err == nil {
		t.Errorf("got %d", got)
	}
}

func TestTerminalInterrupted(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		p.waitEcho(t, false)
		cancel()
	}()
	if _, err := NewTerminal(p.tty, p.tty).Secret(ctx, "Password: "); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !p.echoes(t) {
		t.Error("the terminal does not echo any more")
	}
	if _, err := NewTerminal(p.tty, p.tty).Line(ctx, "Username: "); !errors.Is(err, context.Canceled) {
		t.Errorf("a prompt after that: %v", err)
	}
}

// prompting is another process at the terminal p, or without any.
func prompting(t *testing.T, p *pty) *exec.Cmd {
	t.Helper()
	command := spawn(t, job{Do: "prompt"})
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p != nil {
		command.Stdin = p.tty
		command.SysProcAttr.Setctty = true
	}
	return command
}

// The whole way: a process, its terminal, and the key.
func TestCtrlCAtAHiddenPrompt(t *testing.T) {
	t.Parallel()
	for keys, code := range map[string]int{"\x03": 1, "secret\n": 0} {
		p := openPTY(t)
		command := prompting(t, p)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		p.wait(t, "Password: ")
		p.types(t, keys)
		_ = command.Wait()
		if got := command.ProcessState.ExitCode(); got != code || !p.echoes(t) {
			t.Errorf("%q: exit %d, echo %v", keys, got, p.echoes(t))
		}
	}
}

// Ctrl-Z gives the terminal to a shell, which makes it echo. When the command
// goes on, the prompt shows again, and what is typed still does not.
func TestAStoppedPromptGoesOn(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	command := prompting(t, p)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait(t, "Password: ")
	// Not by the key: it stops nothing in a session without a shell.
	if err := command.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(command.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it is not stopped: %v, %v", status, err)
	}
	p.echo(t)
	p.types(t, "$ fg\n") // to the shell
	p.wait(t, "$ fg\r\n")
	if err := unix.IoctlSetInt(int(p.tty.Fd()), unix.TCFLSH, unix.TCIFLUSH); err != nil { // the shell has read it
		t.Fatal(err)
	}
	if err := command.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, "$ fg\r\nPassword: ")
	p.types(t, "hunter2\n")
	p.wait(t, "7 letters")
	if err := command.Wait(); err != nil || strings.Contains(p.screen(), "hunter2") || !p.echoes(t) {
		t.Errorf("%v, shows %q, echo %v", err, p.screen(), p.echoes(t))
	}
}

func TestNoTerminal(t *testing.T) {
	t.Parallel()
	out, err := prompting(t, nil).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "open the terminal") {
		t.Errorf("%v: %s", err, out)
	}
}
