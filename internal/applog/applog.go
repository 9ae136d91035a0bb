// Package applog keeps villapay's log: JSON lines in the state directory, one
// for every call and failure, rotated by size.
//
// It promises that logging never fails or delays a command, whatever stands in
// the place of its file, and costs nothing until the first record. Many
// processes may write one log at once.
package applog

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/villapay/villapay/internal/atomicfile"
	"github.com/villapay/villapay/internal/sanitize"
)

// The log is one file and the one before it.
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
func (l *Log) Path() string { return filepath.Join(l.dir, name) }

// Logger writes to the log. Times are UTC; secret.String values are hidden
// by their own type.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{ReplaceAttr: plain}))
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

// Write appends one record. It reports success whatever happens: `doctor`
// reports a full disk, which is no reason to stop a payment.
func (l *Log) Write(record []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= MaxSize && l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	if l.file == nil && l.err == nil {
		l.err = l.open()
	}
	if l.file != nil {
		var written int
		// Somebody reads it with tail, and slog leaves C1 controls and
		// bidirectional overrides as they are.
		written, l.err = l.file.Write(sanitize.JSON(record, false))
		l.size += int64(written)
	}
	return len(record), nil
}

// open opens the file for appending, after moving a full one aside. Two
// processes that do so at once lose at most the older file's lines.
func (l *Log) open() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	file, size, err := openFile(l.Path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY)
	if err == nil && size >= MaxSize {
		_ = file.Close() // Windows renames no open file
		_ = os.Rename(l.Path(), l.Path()+".1")
		file, size, err = openFile(l.Path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY)
	}
	if err != nil {
		return err
	}
	l.file, l.size = file, size
	if older, _, err := openFile(l.Path()+".1", os.O_RDONLY); err == nil {
		_ = older.Close()
	}
	return nil
}

// openFile opens a file of the log. It takes others' permissions off, which a
// restored backup may have brought.
func openFile(path string, flag int) (file *os.File, size int64, err error) {
	if file, err = atomicfile.Open(path, flag); err != nil {
		return nil, 0, err
	}
	_, _ = atomicfile.FixPermissions(file)
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	return file, size, nil
}

// Close closes the file, if any was opened.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Check returns why the log cannot be written, nil if it can, by opening it.
func (l *Log) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		l.err = l.open()
	}
	return l.err
}
