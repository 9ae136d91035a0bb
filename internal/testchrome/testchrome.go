// Package testchrome drives a real headless Chromium from tests.
//
// It speaks the DevTools protocol over the browser's own pipe, so that it needs
// nothing but the browser itself, which VILLAPAY_TEST_CHROMIUM names; without
// it tests are skipped. Only tests import it.
package testchrome

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// limit bounds everything that is asked of the browser or waited for.
const limit = 30 * time.Second

// Browser is a running Chromium that ends with its test.
type Browser struct {
	t    testing.TB
	in   *os.File      // commands to the browser
	gone chan struct{} // closed when the browser speaks no more

	mu      sync.Mutex
	last    int // number of the last command
	waiting map[int]chan message
	pages   map[string]*Page // by session
}

// message is any of the protocol's three kinds: command, answer and event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Launch starts a browser with a profile of its own, or skips the test.
func Launch(t testing.TB) *Browser {
	t.Helper()
	path := os.Getenv("VILLAPAY_TEST_CHROMIUM")
	if path == "" {
		t.Skip("VILLAPAY_TEST_CHROMIUM names no Chromium")
	}
	profile, err := os.MkdirTemp("", "villapay-chromium-") //nolint:usetesting // its helpers may still write when it has ended
	if err != nil {
		t.Fatal(err)
	}
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", //nolint:gosec // the tester's own browser
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // the protocol's 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &Browser{t: t, in: ourIn, gone: make(chan struct{}), waiting: map[int]chan message{}, pages: map[string]*Page{}}
	go b.listen(ourOut)
	t.Cleanup(func() {
		_ = ourIn.Close() // a browser without its pipe ends by itself
		ended := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		_ = ourOut.Close()
		_ = os.RemoveAll(profile)
	})
	return b
}

// listen hands out what the browser says until it says no more.
func (b *Browser) listen(out *os.File) {
	defer close(b.gone)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	lines.Split(func(data []byte, _ bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		b.mu.Lock()
		answer, page := b.waiting[m.ID], b.pages[m.Session]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- m
		case m.ID == 0 && page != nil:
			page.heard(m)
		}
	}
}

// call sends one command and decodes its result, if one is wanted.
func (b *Browser) call(session, method string, params, result any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	command, err := json.Marshal(message{ID: b.last, Session: session, Method: method, Params: raw})
	if err == nil {
		b.waiting[b.last] = answer
		_, err = b.in.Write(append(command, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return errors.New(method + ": " + m.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-b.gone:
		return errors.New(method + ": the browser ended")
	case <-time.After(limit):
		return errors.New(method + ": no answer")
	}
}
