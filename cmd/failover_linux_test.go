package cmd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/villapay/villapay/internal/testport"
)

// pgPrograms runs PostgreSQL's programs, as a user who may run a server.
type pgPrograms struct {
	bin  string
	dir  string // what they may write to
	user *syscall.Credential
}

func newPostgres(t *testing.T) *pgPrograms {
	t.Helper()
	if os.Getenv("VILLAPAY_TEST_POSTGRES") == "" {
		t.Skip("VILLAPAY_TEST_POSTGRES names no PostgreSQL server")
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
	if err != nil || len(found) == 0 {
		t.Skip("there are no programs of PostgreSQL's server")
	}
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // nobody else may enter the directory of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &pgPrograms{bin: filepath.Dir(found[len(found)-1]), dir: dir}
	if os.Getuid() == 0 { // which PostgreSQL does not run as
		account, err := user.Lookup("postgres")
		if err != nil {
			t.Skip(err)
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *pgPrograms) run(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(p.bin, name), args...)
	c.Dir, c.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.user}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s %v: %s, %v", name, args, out, err)
	}
}

// start starts a server on a data directory, and returns its port.
func (p *pgPrograms) start(t *testing.T, data string) (port string) {
	t.Helper()
	port = strconv.Itoa(testport.Free(t))
	options := fmt.Sprintf("-p %s -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s", port, p.dir)
	p.run(t, "pg_ctl", "-D", data, "-w", "-l", data+".log", "-o", options, "start")
	return port
}

// A primary is killed while two tills pay, and its synchronous standby is promoted:
// no order is lost, and none is made or shown twice.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	pg := newPostgres(t)
	primary, standby := filepath.Join(pg.dir, "primary"), filepath.Join(pg.dir, "standby")
	pg.run(t, "initdb", "-D", primary, "-U", "villapay", "--auth=trust", "--no-sync")
	first := pg.start(t, primary)
	t.Cleanup(func() { pg.run(t, "pg_ctl", "-D", standby, "-m", "immediate", "stop") })
	admin := []string{"-h", "127.0.0.1", "-p", first, "-U", "villapay"}
	pg.run(t, "createdb", append(admin, "villapay")...)
	pg.run(t, "pg_basebackup", append(admin, "-D", standby, "-R", "--checkpoint=fast", "--no-sync")...)
	second := pg.start(t, standby)
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		pg.run(t, "psql", append(admin, "-d", "villapay", "-c", statement)...)
	}

	const orders = 400
	b := serveBank(t, false)
	var seen atomic.Int64
	var failover sync.WaitGroup
	b.hold(func(string) {
		if seen.Add(1) == orders/4 {
			failover.Go(func() {
				pg.run(t, "pg_ctl", "-D", primary, "-m", "immediate", "stop")
				pg.run(t, "pg_ctl", "-D", standby, "-w", "promote")
			})
		}
	})
	ledger := "postgres://villapay@127.0.0.1:" + first + ",127.0.0.1:" + second + "/villapay?sslmode=disable"
	shown := shownOrders{}
	var mu sync.Mutex
	var tills sync.WaitGroup
	for range 2 {
		tills.Go(func() {
			m := newMachine(t, "VILLAPAY_BASE_URL="+b.url, "VILLAPAY_LEDGER="+ledger)
			args := []string{"pay", "batch", m.orderFile(t, orders), "--rate", "0", "--concurrency", "8", "-o", "json"}
			var last result
			for range 20 {
				last = m.run(t, args...)
				mu.Lock()
				shown.see(t, []byte(last.stdout))
				mu.Unlock()
				if last.code == 0 {
					return
				}
				failover.Wait()
			}
			t.Errorf("exit %d, %s", last.code, last.stderr)
		})
	}
	tills.Wait()
	shown.check(t, b, orders)
	m := newMachine(t, "VILLAPAY_BASE_URL="+b.url, "VILLAPAY_LEDGER="+ledger)
	if list := m.run(t, "order", "list", "--limit", "0", "--state", "awaiting", "--jq", "length"); list.stdout != strconv.Itoa(orders)+"\n" {
		t.Errorf("%s payments are open, %s", list.stdout, list.stderr)
	}
}
