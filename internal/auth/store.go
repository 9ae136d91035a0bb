package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"

	"github.com/villapay/villapay/internal/secret"
)

// Mode says where a new session is kept.
type Mode string

// The modes of --store. Auto seals with a key from the keyring and, where that
// fails, warns and writes plain.
const (
	Auto        Mode = "auto"
	KeyringOnly Mode = "keyring"
	FileOnly    Mode = "file"
)

// Store keeps the sessions of all environments in one file of the state
// directory, `tokens`. Each session in it is sealed by itself (AES-256-GCM, the
// key in the keyring), or plain; the file is replaced by one rename, under a
// lock on its sibling `tokens.lock`. Opening a store touches nothing.
type Store struct {
	dir  string
	mode Mode
	ring *patience
	key  []byte // once it was read
	warn func(text string)
}

// OpenStore makes a store in the state directory dir, which need not exist yet.
// warn shows one warning on stderr.
func OpenStore(dir string, mode Mode, ring Keyring, warn func(text string)) *Store {
	return &Store{dir: dir, mode: mode, ring: &patience{ring: ring}, warn: warn}
}

// Path is the file that the sessions are in.
func (s *Store) Path() string { return filepath.Join(s.dir, "tokens") }

// contents is the file's JSON.
type contents struct {
	Version  int              `json:"version"`
	Sessions map[string]entry `json:"sessions"` // by environment, issuer and client
}

// entry is one session: exactly one of the two is set.
type entry struct {
	Sealed []byte  `json:"sealed,omitempty"` // nonce and ciphertext of a record
	Plain  *record `json:"plain,omitempty"`
}

// record is how tokens are written down.
type record struct {
	Username   string    `json:"username"`
	ID         string    `json:"id"`
	Access     string    `json:"access,omitempty"`
	Refresh    string    `json:"refresh,omitempty"`
	Device     string    `json:"device,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func recorded(t Tokens) *record {
	return &record{t.Username, t.ID.Reveal(), t.Access.Reveal(), t.Refresh.Reveal(), t.Device, t.ReceivedAt.UTC(), t.ExpiresAt.UTC()}
}

func (r *record) tokens() Tokens {
	return Tokens{
		ID: secret.New(r.ID), Access: secret.New(r.Access), Refresh: secret.New(r.Refresh),
		Username: r.Username, Device: r.Device, ReceivedAt: r.ReceivedAt, ExpiresAt: r.ExpiresAt,
	}
}

const (
	fileVersion = 1
	fileLimit   = 4 << 20 // bytes; a session takes about 5 kB
)

// errDamaged is behind a token file that cannot be read as one.
var errDamaged = errors.New("the token file is damaged")

// read loads the file; none is an empty one. It takes no lock: the file is
// always whole.
func (s *Store) read() (contents, error) {
	empty := contents{Version: fileVersion, Sessions: map[string]entry{}}
	file, err := os.Open(s.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, s.fault("read", err)
	}
	defer file.Close()
	s.tighten(file)
	data, err := io.ReadAll(io.LimitReader(file, fileLimit))
	if err != nil {
		return empty, s.fault("read", err)
	}
	var c contents
	if err := json.Unmarshal(data, &c); err != nil || c.Version < 1 {
		return empty, fmt.Errorf("%w: %s", errDamaged, s.Path())
	}
	if c.Version > fileVersion {
		return empty, &Error{Kind: Config, Message: s.Path() + " was written by a newer villapay", Hint: "upgrade villapay, or set VILLAPAY_STATE_DIR to another directory"}
	}
	if c.Sessions == nil {
		c.Sessions = map[string]entry{}
	}
	return c, nil
}

// tighten takes a file that others could read away from them.
func (s *Store) tighten(file *os.File) {
	info, err := file.Stat()
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return
	}
	text := fmt.Sprintf("%s could be read by others (%#o)", s.Path(), info.Mode().Perm())
	if err := file.Chmod(0o600); err != nil {
		s.warn(text + " and cannot be closed to them: " + err.Error())
		return
	}
	s.warn(text + "; it is 0600 now. Sign in again if somebody may have read it")
}

func (s *Store) fault(verb string, err error) *Error {
	return &Error{Kind: Config, Message: fmt.Sprintf("%s the token file: %v", verb, err), Hint: "check the state directory " + s.dir + ", or set VILLAPAY_STATE_DIR", Err: err}
}

// lockLimit is how long to wait for another process's change, which may be a
// refresh over a slow network.
const lockLimit = 20 * time.Second

// change edits the file under the lock: edit gets what the file holds then and
// tells whether it changed it. That a write is possible is known before edit
// runs, because edit may use up a refresh token. What edit changed is written
// even if it also returns an error.
func (s *Store) change(ctx context.Context, edit func(c *contents) (changed bool, err error)) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return s.fault("write", err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	draft, err := s.draft()
	if err != nil {
		return s.fault("write", err)
	}
	defer func() { _ = draft.Close(); _ = os.Remove(draft.Name()) }() // both fail after a save, as they should
	c, err := s.read()
	if errors.Is(err, errDamaged) {
		s.warn(err.Error() + "; sessions in it are lost")
	} else if err != nil {
		return err
	}
	changed, err := edit(&c)
	if !changed {
		return err
	}
	if saveErr := s.save(draft, c); saveErr != nil && err == nil {
		err = saveErr
	}
	return err
}

func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	path := s.Path() + ".lock"
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, s.fault("lock", errors.New(path+" is not a regular file"))
	}
	lock := flock.New(path)
	limited, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	_, err = lock.TryLockContext(limited, 20*time.Millisecond)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("wait for the token file: %w", ctx.Err())
	case err != nil && limited.Err() != nil:
		return nil, s.fault("lock", fmt.Errorf("another villapay has held it for %s", lockLimit))
	case err != nil:
		return nil, s.fault("lock", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// draft makes the file that will become the new one, and sweeps up those of
// processes that died: with the lock held no other can be in use.
func (s *Store) draft() (*os.File, error) {
	const pattern = ".tokens-*"
	stale, _ := filepath.Glob(filepath.Join(s.dir, pattern))
	for _, path := range stale {
		_ = os.Remove(path)
	}
	return os.CreateTemp(s.dir, pattern) // 0600
}

// save replaces the file by draft with c in it, or removes it where c is empty.
func (s *Store) save(draft *os.File, c contents) error {
	if len(c.Sessions) == 0 {
		if err := os.Remove(s.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fault("remove", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		_, err = draft.Write(append(data, '\n'))
	}
	if err == nil {
		err = draft.Sync()
	}
	if err == nil {
		err = draft.Close()
	}
	if err == nil {
		err = replace(draft.Name(), s.Path())
	}
	if err != nil {
		return s.fault("write", err)
	}
	if dir, err := os.Open(s.dir); err == nil { // so that the rename outlives a power cut; not all systems can
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// replace renames from to to. Windows refuses while somebody reads to, which
// takes a moment only.
func replace(from, to string) error {
	err := os.Rename(from, to)
	for try := 0; err != nil && runtime.GOOS == "windows" && try < 20; try++ {
		time.Sleep(25 * time.Millisecond)
		err = os.Rename(from, to)
	}
	return err
}
