//go:build linux

package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is villapay's real main at a terminal of its own, as an operator
// sits at one.
type terminal struct {
	t       *testing.T
	cmd     *exec.Cmd
	pty     *os.File // the person's side
	mu      sync.Mutex
	changed *sync.Cond
	screen  *vt
	raw     strings.Builder // everything that was written to it
	mark    strings.Builder // what a session wrote when its command had ended
	ended   bool            // nothing more will be written
}

// openPTY makes a terminal and returns both its sides.
func openPTY(t *testing.T, cols, rows int) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	setSize(t, program, cols, rows)
	return person, program
}

func setSize(t *testing.T, tty *os.File, cols, rows int) {
	t.Helper()
	size := &unix.Winsize{Col: uint16(cols), Row: uint16(rows)}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
}

// at starts villapay at a terminal of the machine.
func (m *machine) at(t *testing.T, cols, rows int, args ...string) *terminal {
	t.Helper()
	return startAt(t, cols, rows, m.with(sessionVariable+"=1").command(t, args...))
}

// startAt starts a command at a terminal: its streams, unless it has others
// already, and its controlling terminal.
func startAt(t *testing.T, cols, rows int, c *exec.Cmd) *terminal {
	t.Helper()
	person, program := openPTY(t, cols, rows)
	x := &terminal{t: t, cmd: c, pty: person, screen: newVT(cols, rows)}
	x.changed = sync.NewCond(&x.mu)
	if c.Stdin == nil {
		c.Stdin = program
	}
	if c.Stdout == nil {
		c.Stdout = program
	}
	if c.Stderr == nil {
		c.Stderr = program
	}
	c.ExtraFiles = []*os.File{program}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // and what a shell has started
		_ = c.Wait()
		x.mu.Lock()
		for !x.ended { // until nobody has the terminal, and writes files
			x.changed.Wait()
		}
		x.mu.Unlock()
		_ = person.Close()
	})
	go x.read()
	return x
}

func (x *terminal) read() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := x.pty.Read(buffer) // an error is the end: Linux says EIO
		x.mu.Lock()
		text := x.unmarked(buffer[:n])
		x.screen.feed(text)
		x.raw.Write(text)
		ended := err != nil || strings.Count(x.mark.String(), sessionMark) == 2
		x.ended = ended
		x.changed.Broadcast()
		x.mu.Unlock()
		if ended {
			return
		}
	}
}

// unmarked is what the command wrote, without what its session wrote behind it.
func (x *terminal) unmarked(data []byte) []byte {
	at := bytes.IndexByte(data, sessionMark[0])
	switch {
	case !slices.Contains(x.cmd.Env, sessionVariable+"=1"):
		return data
	case x.mark.Len() > 0:
		at = 0
	case at < 0:
		at = len(data)
	}
	x.mark.Write(data[at:])
	return data[:at]
}

// longEnough is how long a test waits for something that must come.
const longEnough = time.Minute

// until waits until the screen is as it should be, reading all the time.
func (x *terminal) until(what string, ok func(*vt) bool) {
	x.t.Helper()
	late := false
	timer := time.AfterFunc(longEnough, func() {
		x.mu.Lock()
		late = true
		x.changed.Broadcast()
		x.mu.Unlock()
	})
	defer timer.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !ok(x.screen) {
		if x.ended || late {
			x.t.Fatalf("never seen: %s (ended: %t)\n%s", what, x.ended, x.screen.text())
		}
		x.changed.Wait()
	}
}

// see waits for a text on the screen.
func (x *terminal) see(text string) {
	x.t.Helper()
	x.until(fmt.Sprintf("%q", text), func(v *vt) bool { return !v.drawing && strings.Contains(v.text(), text) })
}

// press types keys: "\x03" is Ctrl-C.
func (x *terminal) press(keys string) {
	x.t.Helper()
	x.mu.Lock()
	x.screen.interrupted = x.screen.interrupted || strings.Contains(keys, "\x03")
	x.mu.Unlock()
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// resize changes the window's size and signals the program.
func (x *terminal) resize(cols, rows int) {
	x.t.Helper()
	x.mu.Lock()
	x.screen.resize(cols, rows)
	x.mu.Unlock()
	setSize(x.t, x.pty, cols, rows)
}

// forgive forgets what frames did that were under way when the window changed:
// they were drawn for its size before.
func (x *terminal) forgive() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.screen.wrapped, x.screen.faults = nil, nil
}

// exit waits for the command's end and returns its exit code. By then all that
// it wrote is on the screen, which must be in order: the normal one, with a
// cursor, echo on, and nothing on it that villapay may not write.
func (x *terminal) exit() int {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.ended {
		x.changed.Wait()
	}
	if x.screen.normal != nil || x.screen.hidden || x.screen.drawing {
		x.t.Errorf("the terminal is left untidy: other screen %t, cursor hidden %t", x.screen.normal != nil, x.screen.hidden)
	}
	if x.screen.x != 0 {
		x.t.Errorf("the prompt would stand behind other text:\n%s", x.screen.text())
	}
	if tty, err := unix.IoctlGetTermios(int(x.pty.Fd()), unix.TCGETS); err != nil || tty.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != unix.ECHO|unix.ICANON|unix.ISIG {
		x.t.Errorf("keys would not work as before: %+v, %v", tty, err)
	}
	if len(x.screen.faults) > 0 {
		x.t.Errorf("the terminal got %v", x.screen.faults)
	}
	code, err := strconv.Atoi(strings.Trim(x.mark.String(), sessionMark))
	if err != nil {
		x.t.Fatalf("it ended with %q, not with an exit code", x.mark.String())
	}
	return code
}

// pid is the process that the session runs.
func (x *terminal) pid() int {
	x.t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", x.cmd.Process.Pid))
	if err != nil || len(lists) == 0 {
		x.t.Skip("nobody tells the process's number here")
	}
	var children strings.Builder
	for _, list := range lists { // one a thread
		text, err := os.ReadFile(list)
		if err != nil {
			x.t.Fatal(err)
		}
		children.Write(text)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(children.String()))
	if err != nil {
		x.t.Fatal(err)
	}
	return pid
}

// text is what is on the screen now.
func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.screen.text()
}

// code is what the code on the screen says, "" without one.
func (x *terminal) code() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.screen.scan(x.t, false)
}
