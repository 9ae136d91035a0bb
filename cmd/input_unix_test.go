//go:build unix

package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C ends a command whose file is a FIFO without a writer.
func TestFIFOWithoutWriterObeysCtrlC(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"batch":  {"pay", "batch", fifo, "--env", "sandbox"},
		"verify": {"webhook", "verify", fifo, "--env", "sandbox"},
		"secret": {"webhook", "verify", os.DevNull, "--secret-file", fifo, "--env", "sandbox"},
		"api":    {"api", "/create-order-kbank", "--input", fifo, "--env", "sandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(300*time.Millisecond, cancel)
			var stderr bytes.Buffer
			p := inProcess(t, &stderr)
			done := make(chan int, 1)
			go func() { done <- Run(ctx, p, args) }()
			select {
			case code := <-done:
				if code != 130 {
					t.Errorf("exit code %d, want 130: %s", code, stderr.String())
				}
			case <-time.After(20 * time.Second):
				t.Error("the command does not end")
			}
		})
	}
}
