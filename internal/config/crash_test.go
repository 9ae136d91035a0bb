package config

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain turns the test binary into a process that edits, for the tests that
// need more than one process or kill one.
func TestMain(m *testing.M) {
	switch os.Getenv("CONFIG_TEST_ROLE") {
	case "": // the tests themselves
		os.Exit(m.Run())
	case "loop":
		loop()
	default:
		os.Exit(one())
	}
}

// Two long values, so that a write is no single block.
var (
	long  = strings.Repeat("a", 200)
	other = strings.Repeat("b", 150)
)

// loop edits until it is killed.
func loop() {
	for i := 0; ; i++ {
		value := long
		if i%2 == 1 {
			value = other
		}
		if err := Set(context.Background(), os.LookupEnv, "dev", "kbank.shop_name", value); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("written")
	}
}

// one makes a few edits of the key that its role names.
func one() int {
	for i := 1; i <= 10; i++ {
		if err := Set(context.Background(), os.LookupEnv, os.Getenv("CONFIG_TEST_ROLE"), "timeout", strconv.Itoa(i)+"s"); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// child starts the test binary in a role on a world.
func child(t *testing.T, w world, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CONFIG_TEST_ROLE="+role, "VILLAPAY_CONFIG_DIR="+w.dir, "VILLAPAY_ENV=dev")
	return cmd
}

// TestKill kills a writer at any moment: the file is old or new, and the next
// edit finds no lock held and leaves nothing behind.
func TestKill(t *testing.T) {
	t.Parallel()
	const text = "# ours\nenvs:\n  dev:\n    source: wechat # kept\n"
	w := newWorld(t, text)
	for round := range 12 {
		cmd := child(t, w, "loop")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "written\n" {
			t.Fatalf("the writer says %q, %v", line, err)
		}
		time.Sleep(time.Duration(round) * 700 * time.Microsecond) // any moment will do
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c := w.load(t, Flags{})
		if name := c.Profile.KBank.ShopName; name != long && name != other {
			t.Fatalf("round %d: the file holds half an edit: %q", round, w.text(t))
		}
		if !strings.Contains(w.text(t), "# ours\n") || !strings.Contains(w.text(t), "# kept\n") {
			t.Fatalf("round %d: comments were lost: %q", round, w.text(t))
		}
	}
	if _, err := Unset(t.Context(), w.lookup, "dev", "kbank"); err != nil {
		t.Fatal(err)
	}
	if w.text(t) != text {
		t.Errorf("the file is %q", w.text(t))
	}
	wantFiles(t, w, "config.yaml", "config.yaml.lock")
}

func wantFiles(t *testing.T, w world, names ...string) {
	t.Helper()
	files, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the directory holds %v, want %v", got, names)
	}
}

// TestManyWriters: edits of different keys, in many processes and goroutines at
// once, are all kept.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "# ours\n")
	done := make(chan error)
	writers := []string{"dev", "prod", "sandbox"}
	for _, env := range writers {
		cmd := child(t, w, env)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
	}
	for _, k := range []string{"source", "auth.scheme"} {
		go func() {
			var err error
			for i := range 10 {
				value := map[string][]string{"source": {"qr", "wechat"}, "auth.scheme": {"", "Bearer"}}[k][i%2]
				err = errors.Join(err, Set(t.Context(), w.lookup, "dev", k, value))
			}
			done <- err
		}()
	}
	for range len(writers) + 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, env := range writers {
		if p := w.load(t, Flags{Env: env}).Profile; p.Timeout != 10*time.Second {
			t.Errorf("%s lost its edit: %q", env, w.text(t))
		}
	}
	if p := w.load(t, Flags{Env: "dev"}).Profile; p.Source != "wechat" || p.Auth.Scheme != "Bearer" {
		t.Errorf("an edit was lost: %q", w.text(t))
	}
	wantFiles(t, w, "config.yaml", "config.yaml.lock")
}

// TestNoPlace: where nothing can be written the error says so, and nothing is
// changed.
func TestNoPlace(t *testing.T) {
	t.Parallel()
	t.Run("a read-only directory", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS == "windows" || os.Geteuid() == 0 {
			t.Skip("root and Windows write into directories of any mode")
		}
		w := newWorld(t, "env: dev\n")
		if err := os.Chmod(w.dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(w.dir, 0o700) })
		err := Use(t.Context(), w.lookup, "prod")
		wantError(t, err, KindConfig, "permission denied", "VILLAPAY_CONFIG_DIR")
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v is not ErrPermission", err)
		}
		wantFiles(t, w, "config.yaml")
	})
	t.Run("no directory can be made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "env: dev\n")
		w.vars["VILLAPAY_CONFIG_DIR"] = filepath.Join(w.path(), "below")
		err := Use(t.Context(), w.lookup, "prod")
		wantError(t, err, KindConfig, "write ")
		if _, ok := errors.AsType[*fs.PathError](err); !ok {
			t.Errorf("%v lost its cause", err)
		}
	})
}
