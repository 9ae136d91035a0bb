package cmd

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Set by the release build. Without it they come from the build info.
var (
	version = ""
	commit  = ""
	date    = ""
)

// systemClock is the clock. Tests that show whole screens slow it down.
var systemClock = time.Now

// Main runs villapay as a process and returns its exit code. The first Ctrl-C or
// SIGTERM cancels the command, the second one exits at once; nothing is lost either
// way.
func Main() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	program := &Program{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: isTerminal(os.Stdin), OutTTY: isTerminal(os.Stdout), ErrTTY: isTerminal(os.Stderr),
		Size: terminalSize, Window: watchWindow, OutGone: func() bool { return readerGone(os.Stdout) },
		LookupEnv: os.LookupEnv, Environ: os.Environ,
		Now:   systemClock,
		Local: time.Local, //nolint:gosmopolitan // shown beside Bangkok time where it differs
		Build: build(),
	}
	program.NotifySignals = func() { notifySignals(program, cancel) }
	abortOnFatalErrors()
	ignoreWriteSignals()
	log.SetOutput(io.Discard) // net/http logs there, such as an unsolicited response
	enableColor(os.Stdout, os.Stderr)
	defer func() {
		if bug := recover(); bug != nil {
			fmt.Fprintf(os.Stderr, "villapay: internal error: %v\nhint: report this bug with the text below; what was sent is recorded\n\n%s", bug, debug.Stack())
			os.Exit(exitInternal)
		}
	}()
	return Run(ctx, program, os.Args[1:])
}

// abortOnFatalErrors ends the process with SIGABRT on errors that cannot be
// recovered, such as a panic in another goroutine. The runtime's exit code 2 would
// say that nothing was sent.
func abortOnFatalErrors() {
	debug.SetTraceback("crash")
	forbidCoreDumps() // one would hold tokens
}

// notifySignals calls cancel on the first Ctrl-C or SIGTERM, and exits on the second.
func notifySignals(program *Program, cancel func()) {
	signals := make(chan os.Signal, 2)
	// On Ctrl-\ the runtime would dump its goroutines and exit 2, which says that
	// nothing was sent.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		<-signals
		cancel()
		<-signals
		if program.viewing.Load() && program.OutTTY {
			_, _ = os.Stdout.WriteString(leaveView)
		}
		os.Exit(exitInterrupted)
	}()
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// terminalSize returns the size of the terminal on stdout or stderr, 0, 0 if there
// is none.
func terminalSize() (columns, rows int) {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
			return columns, rows
		}
	}
	return 0, 0
}

// Build describes the binary.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit, RFC 3339
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func build() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: version, Commit: commit, Date: date, Go: info.GoVersion, OS: runtime.GOOS, Arch: runtime.GOARCH}
	if b.Version == "" {
		b.Version = strings.TrimPrefix(info.Main.Version, "v") // as in packages
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Date == "":
			b.Date = s.Value
		}
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "dev"
	}
	return b
}
