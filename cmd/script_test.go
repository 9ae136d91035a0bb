package cmd

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/villapay/villapay/internal/sandbox"
)

// TestMain lets scripts run villapay's real main as a process of its own. Most
// tests wait for processes, so more of them run at once than there are processors.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(6*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"villapay": func() {
			unsetVariables()
			if os.Getenv(sessionVariable) != "" {
				session()
				return
			}
			if start, err := time.Parse(time.RFC3339Nano, os.Getenv(clockVariable)); err == nil {
				systemClock = slowClock(start)
			}
			if how := os.Getenv(fatalVariable); how != "" {
				fatal(how)
			}
			os.Exit(Main())
		},
	})
}

// TestScripts runs every file of testdata/script: one behaviour each, through
// the real main, with directories of its own and no keyring.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               scriptEnv,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    cmdServe,
			"server":   cmdServer,
			"exit":     cmdExit,
			"mode":     cmdMode,
			"posts":    cmdPosts,
			"replace":  cmdReplace,
			"unset":    cmdUnset,
			"variable": cmdVariable,
		},
		Condition: scriptCondition,
	})
}

func scriptEnv(env *testscript.Env) error {
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("VILLAPAY_CONFIG_DIR", filepath.Join(env.WorkDir, "config"))
	env.Setenv("VILLAPAY_STATE_DIR", filepath.Join(env.WorkDir, "state"))
	env.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	env.Setenv("LANG", "C.UTF-8")
	env.Setenv("TERM", "xterm-256color")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else each process of a race test ends a second late
	for _, name := range []string{"CI", "NO_COLOR", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		env.Setenv(name, "")
	}
	env.Setenv("VILLAPAY_TEST_POSTGRES", unset)
	return nil
}

func scriptCondition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Getuid() == 0, nil
	case "devfull":
		_, err := os.Stat("/dev/full")
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// anyToken is an authorizer that accepts every token, but not none.
type anyToken struct{}

func (anyToken) Check(authorization string) (status int, message string) {
	if authorization == "" {
		return http.StatusUnauthorized, "Unauthorized"
	}
	return 0, ""
}

// cmdServe starts a sandbox for this script alone and points the environment
// variable SERVER at it: serve [ignore-keys] [auth] [key].
func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	options := sandbox.Options{Dir: ts.MkAbs("served"), Now: time.Now}
	for _, arg := range args {
		switch arg {
		case "ignore-keys":
			options.IgnoreKeys = true
		case "auth":
			options.Authorizer = anyToken{}
		case "key":
			options.BankKey = sandbox.BankKey
		default:
			ts.Fatalf("serve: unknown option %s", arg)
		}
	}
	stand := sandbox.New(options)
	server := httptest.NewServer(stand)
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
		_ = stand.Close()
	})
	ts.Setenv("SERVER", server.URL)
}

// cmdServer starts a server that answers every call in one way, and points
// SERVER at it: server STATUS [BODY], server silent, server redirect URL.
func cmdServer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: server STATUS [BODY] | silent | redirect URL")
	}
	stopped := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch args[0] {
		case "silent":
			select {
			case <-r.Context().Done():
			case <-stopped:
			}
		case "redirect":
			http.Redirect(w, r, args[1], http.StatusTemporaryRedirect)
		default:
			var status int
			if _, err := fmt.Sscan(args[0], &status); err != nil {
				panic(err)
			}
			w.Header().Set("X-Amzn-Requestid", "req-script")
			w.WriteHeader(status)
			fmt.Fprint(w, strings.Join(args[1:], " "))
		}
	}))
	ts.Defer(func() {
		close(stopped)
		server.CloseClientConnections()
		server.Close()
	})
	ts.Setenv("SERVER", server.URL)
}

// cmdExit runs a command and checks its exit code: exit CODE PROGRAM ARG...
func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		text := err.Error()
		code = strings.TrimPrefix(text, "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// cmdMode checks a file's permission bits: mode 600 FILE
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// cmdPosts checks how many requests and orders a sandbox saw for an order:
// posts DIR ORDERID POSTS ORDERS
func cmdPosts(ts *testscript.TestScript, _ bool, args []string) {
	stand := sandbox.New(sandbox.Options{Dir: ts.MkAbs(args[0]), Now: time.Now})
	defer stand.Close()
	stats, err := stand.Stats(context.Background(), args[1])
	ts.Check(err)
	if got, want := fmt.Sprintf("%d %d", stats.Posts, stats.Orders), args[2]+" "+args[3]; got != want {
		ts.Fatalf("order %s: posts and orders are %s, want %s", args[1], got, want)
	}
}

// cmdReplace replaces text in a file: replace OLD NEW FILE
func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[2])
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(string(data), args[0], args[1])), 0o600))
}

// unset is the value of a variable that a script has unset: testscript itself can
// only make it empty, which villapay takes for a missing secret.
const unset = "(unset)"

// cmdUnset unsets variables for villapay: unset NAME...
func cmdUnset(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Setenv(name, unset)
	}
}

func unsetVariables() {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value == unset {
			_ = os.Unsetenv(name)
		}
	}
}

// clockVariable makes a villapay process go by slowClock from that moment on.
const clockVariable = "TEST_CLOCK"

// slowClock goes a thousand times slower than the clock, so that what a screen
// shows does not depend on how fast the machine is: 14 seconds ago for now makes
// columns wider and wraps others.
func slowClock(start time.Time) func() time.Time {
	return func() time.Time { return start.Add(time.Since(start) / 1000) }
}

// cmdVariable sets a variable to what the last command wrote: variable NAME
func cmdVariable(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
