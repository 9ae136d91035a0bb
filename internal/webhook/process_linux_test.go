package webhook

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/httpserver"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/secret"
)

// TestMain lets the test binary be a listener in a process of its own, which
// can be killed and starved.
func TestMain(m *testing.M) {
	if dir := os.Getenv("VILLAPAY_TEST_LISTEN_IN"); dir != "" {
		if err := listenIn(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// listenIn serves a listener on the ledger of a directory, and prints where.
// POST /fill makes the disk full for this process, POST /free ends that.
func listenIn(dir string) error {
	opened, err := ledger.Open(context.Background(), secret.New("sqlite"), dir, "child", time.Now)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var roomy syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &roomy); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", listening(opened))
	limit := func(cur uint64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: cur, Max: roomy.Max}); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}
	mux.HandleFunc("POST /fill", limit(0))
	mux.HandleFunc("POST /free", limit(roomy.Cur))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	return httpserver.Run(context.Background(), listener, mux, slog.New(slog.DiscardHandler))
}

// child is such a process.
type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "VILLAPAY_TEST_LISTEN_IN="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := child{cmd: cmd}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c.url = strings.TrimSpace(line)
	return c
}

// kill ends it as kill -9 does; a second time does nothing.
func (c child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// TestNothingIsLostWhenTheListenerIsKilled kills the listener right after the
// 1st, 2nd, 9th … answer, alone and under load, and starts it again. Every
// event that was answered with 200 must be in the ledger.
func TestNothingIsLostWhenTheListenerIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var taken []string
	for round, kill := range []struct{ clients, after int }{{1, 1}, {1, 2}, {16, 1}, {16, 9}, {16, 60}} {
		c := startChild(t, dir)
		var mu sync.Mutex
		var sending sync.WaitGroup
		answers := 0
		for sender := range kill.clients {
			sending.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("chrg_%d_%d_%d", round, sender, i)
					status, err := Send(t.Context(), http.DefaultClient, c.url+"/notify", []byte(signed(t, id, "order_"+id, "300.0", "Authorized")))
					if err != nil {
						return // it is dead
					}
					mu.Lock()
					if status == 200 {
						taken = append(taken, id)
					} else {
						t.Errorf("%s: %d", id, status)
					}
					if answers++; answers == kill.after {
						c.kill()
					}
					mu.Unlock()
				}
			})
		}
		sending.Wait()
	}
	opened := openLedger(t, dir)
	for _, id := range taken {
		n, err := Decode([]byte(signed(t, id, "order_"+id, "300.0", "Authorized")))
		if err != nil {
			t.Fatal(err)
		}
		if recorded, err := opened.RecordReport(t.Context(), scope, n.Report()); err != nil || !recorded.Repeat {
			t.Errorf("%s was answered with 200 and is lost: %+v, %v", id, recorded, err)
		}
	}
	if len(taken) < 1+2+1+9+60 {
		t.Errorf("only %d events were taken", len(taken))
	}
}

func TestAFullDiskIsNoSuccess(t *testing.T) {
	t.Parallel()
	c := startChild(t, t.TempDir())
	send := func(path, body string) int {
		t.Helper()
		status, err := Send(t.Context(), http.DefaultClient, c.url+path, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	event := func(id string) string { return signed(t, id, "order_test_1", "300.0", "Authorized") }
	for i, step := range []struct {
		path, body string
		status     int
	}{
		{"/notify", event("chrg_test_1"), 200},
		{"/fill", "", 200},
		{"/notify", event("chrg_test_2"), 503},
		{"/notify", event("chrg_test_3"), 503},
		{"/free", "", 200},
		{"/notify", event("chrg_test_2"), 200},
		{"/notify", event("chrg_test_1"), 200},
	} {
		if status := send(step.path, step.body); status != step.status {
			t.Errorf("step %d, %s: %d", i+1, step.path, status)
		}
	}
}
