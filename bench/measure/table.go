//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// table is a Markdown table, written row by row.
type table struct{ out io.Writer }

// head names the machine, then begins the table.
func (t *table) head(dir string) error {
	disk, err := syncTime(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s, %d cores, %s/%s, %s; one durable write takes %s; load average %s\n\n", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), milliseconds(disk), load())
	fmt.Fprintln(t.out, "| what | villapay | against | ratio | target |")
	fmt.Fprintln(t.out, "|---|---|---|---|---|")
	return nil
}

func (t *table) row(what, villapay, against, ratio, target string) {
	fmt.Fprintf(t.out, "| %s | %s | %s | %s | %s |\n", what, villapay, against, ratio, target)
}

// compared is a row of a comparison of wall times.
func (t *table) compared(what string, c comparison, against, target string) {
	t.row(what, milliseconds(c.left.wall), against+" "+milliseconds(c.right.wall),
		fmt.Sprintf("%.2f (processor time %.2f)", c.ratio(), c.left.cpu.Seconds()/c.right.cpu.Seconds()), target)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// processor is the model of the processor, where Linux tells it.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// syncTime is how long this disk takes to keep a write of one page.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	page := make([]byte, 4096)
	var took []usage
	for range 50 {
		start := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, usage{wall: time.Since(start)})
	}
	return quartile(took).wall, nil
}
