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

// Set by the release build; a plain `go build` fills them from its build info.
var (
	version = ""
	commit  = ""
	date    = ""
)

// systemClock tells the time. Tests that show whole screens slow it down.
var systemClock = time.Now

// Main runs villapay with the process's own arguments, streams, environment and
// signals, and returns its exit code. The first Ctrl-C or SIGTERM ends the
// command in an orderly way, a second one at once: nothing is lost either way.
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
	log.SetOutput(io.Discard) // net/http's own remarks, such as on an unsolicited response
	enableColor(os.Stdout, os.Stderr)
	defer func() {
		if bug := recover(); bug != nil {
			fmt.Fprintf(os.Stderr, "villapay: internal error: %v\nhint: what was sent is recorded; report this bug, with what follows\n\n%s", bug, debug.Stack())
			os.Exit(exitInternal)
		}
	}()
	return Run(ctx, program, os.Args[1:])
}

// abortOnFatalErrors ends the process by SIGABRT after a panic in a goroutine or a
// fatal error of the runtime, which cannot be recovered from: the runtime's own exit
// code 2 would say that nothing was sent.
func abortOnFatalErrors() {
	debug.SetTraceback("crash")
	forbidCoreDumps() // one would hold tokens
}

// notifySignals makes Ctrl-C and SIGTERM end ctx, and the second one the process.
func notifySignals(program *Program, cancel func()) {
	signals := make(chan os.Signal, 2)
	// The runtime would answer Ctrl-\ with its goroutines and exit 2, which says
	// that nothing was sent.
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

// terminalSize is the size of the terminal that the result goes to, or of the
// one the notes go to; 0, 0 where there is none.
func terminalSize() (columns, rows int) {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
			return columns, rows
		}
	}
	return 0, 0
}

// Build says which villapay this is.
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
