// Package applog keeps villapay's log: JSON lines in the state directory, one
// for every call and failure, rotated by size.
//
// It promises that logging never fails a command and costs nothing until the
// first record. Many processes may write one log at once.
package applog

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The log's room on disk: the file that is written and one older one.
const (
	MaxSize = 4 << 20 // bytes, after which the file becomes the older one
	name    = "villapay.log"
)

// Log is a log in a directory of its own.
type Log struct {
	dir  string
	mu   sync.Mutex
	file *os.File
	size int64 // of file
	err  error
}

// New makes the log that lives in dir. Nothing is opened yet.
func New(dir string) *Log { return &Log{dir: dir} }

// Path is the file that is written.
func (j *Log) Path() string { return filepath.Join(j.dir, name) }

// Logger writes to the log. Times are UTC; secret.String values are hidden
// by their own type.
func (j *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{ReplaceAttr: plain}))
}

// plain writes times as UTC and durations as milliseconds.
func plain(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() { //nolint:exhaustive // only these two are written otherwise
	case slog.KindTime:
		return slog.Time(a.Key, a.Value.Time().UTC())
	case slog.KindDuration:
		return slog.Int64(a.Key+"_ms", a.Value.Duration().Milliseconds())
	}
	return a
}

// Write appends one record. It reports success whatever happens: a full disk is
// for `doctor` to tell, not a reason to stop a payment.
func (j *Log) Write(record []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.size >= MaxSize && j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
	if j.file == nil && j.err == nil {
		j.err = j.open()
	}
	if j.file != nil {
		var written int
		written, j.err = j.file.Write(visible(record))
		j.size += int64(written)
	}
	return len(record), nil
}

// visible escapes what a terminal would act on, or show as nothing, in a record
// that somebody reads with tail: slog leaves C1 controls and bidirectional
// overrides as they are. In a JSON record such characters stand only in strings.
func visible(record []byte) []byte {
	if !bytes.ContainsFunc(record, hidden) {
		return record
	}
	var out []byte
	for _, r := range string(record) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// open opens the file for appending, after putting a full one aside. Two
// processes that do so at once lose at most the older file's lines.
func (j *Log) open() error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	j.tighten()
	if info, err := os.Stat(j.Path()); err == nil && info.Size() >= MaxSize {
		_ = os.Rename(j.Path(), j.Path()+".1")
	}
	file, err := os.OpenFile(j.Path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	j.file, j.size = file, 0
	if info, err := file.Stat(); err == nil {
		j.size = info.Size()
	}
	return nil
}

// tighten takes others' permissions off the files, which a restored backup may
// have left, where it can.
func (j *Log) tighten() {
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range []string{j.Path(), j.Path() + ".1"} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(path, 0o600)
		}
	}
}

// Close closes the file, if any was opened.
func (j *Log) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// Check tells whether the log can be written, by opening it.
func (j *Log) Check() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		j.err = j.open()
	}
	return j.err
}
