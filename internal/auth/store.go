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
	"sync"
	"time"

	"github.com/villapay/villapay/internal/atomicfile"
)

// Mode says where something new is kept.
type Mode string

// The modes of --store. Auto encrypts with a key from the keyring and, where
// that fails, warns and writes plain.
const (
	Auto        Mode = "auto"
	KeyringOnly Mode = "keyring"
	FileOnly    Mode = "file"
)

// Store keeps the sessions of all environments and the bank's keys in one file
// of the state directory, `tokens`. Each entry is encrypted by itself
// (AES-256-GCM, the key in the keyring), or plain. The file is replaced whole,
// under a lock on `tokens.lock`. A Store may be used by many goroutines; opening
// one touches nothing.
type Store struct {
	dir  string
	ring *limitedKeyring
	warn func(text string)

	mu  sync.Mutex
	key []byte // once it was read
}

// OpenStore makes a store in the state directory dir, which need not exist yet.
// warn shows one warning on stderr.
func OpenStore(dir string, ring Keyring, warn func(text string)) *Store {
	return &Store{dir: dir, ring: &limitedKeyring{ring: ring, timeout: keyringTimeout}, warn: warn}
}

// WaitForUnlock gives the user time to unlock the keyring in its window. waiting
// reports each wait until stop. Call it before the store is used.
func (s *Store) WaitForUnlock(waiting func() (stop func())) {
	s.ring.timeout, s.ring.waiting = unlockTimeout, waiting
}

// Path is the file that everything is in.
func (s *Store) Path() string { return filepath.Join(s.dir, "tokens") }

// contents is the file's JSON.
type contents struct {
	Version  int              `json:"version"`
	Sessions map[string]entry `json:"sessions"`            // by environment, issuer and client
	BankKeys map[string]entry `json:"bank_keys,omitempty"` // by the URL of the bank's API
}

// entry is one session or key: exactly one of the two is set.
type entry struct {
	Sealed []byte          `json:"sealed,omitempty"` // nonce and ciphertext of the JSON
	Plain  json.RawMessage `json:"plain,omitempty"`
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
	var c contents
	data, err := s.readFile()
	switch {
	case err != nil:
		return c, s.fault("read", err)
	case data == nil: // no file
	case json.Unmarshal(data, &c) != nil || c.Version < 1:
		c, err = contents{}, fmt.Errorf("%w: %s", errDamaged, s.Path())
	case c.Version > fileVersion:
		return c, &Error{Kind: Config, Message: s.Path() + " was written by a newer villapay", Hint: "upgrade villapay, or set VILLAPAY_STATE_DIR to another directory"}
	}
	c.Version = fileVersion
	if c.Sessions == nil {
		c.Sessions = map[string]entry{}
	}
	if c.BankKeys == nil {
		c.BankKeys = map[string]entry{}
	}
	return c, err
}

// readFile returns the file's bytes, nil if there is none.
func (s *Store) readFile() ([]byte, error) {
	file, err := atomicfile.Open(s.Path(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	switch was, err := atomicfile.FixPermissions(file); {
	case err != nil:
		s.warn(fmt.Sprintf("%s could be read by others (%#o), and that cannot be changed: %v", s.Path(), was, err))
	case was != 0:
		s.warn(fmt.Sprintf("%s could be read by others (%#o); it is 0600 now. Sign in again if somebody may have read it", s.Path(), was))
	}
	data, err := io.ReadAll(io.LimitReader(file, fileLimit))
	if data == nil {
		data = []byte{} // an empty file is a damaged one
	}
	return data, err
}

func (s *Store) fault(verb string, err error) *Error {
	return &Error{Kind: Config, Message: fmt.Sprintf("%s the token file: %v", verb, err), Hint: "check the state directory " + s.dir + ", or set VILLAPAY_STATE_DIR", Err: err}
}

// lockLimit is how long to wait for another process's change, which may be a
// refresh over a slow network.
const lockLimit = 20 * time.Second

// change edits the file under the lock: edit gets what the file holds then and
// reports whether it changed it. That a write is possible is known before edit
// runs, because edit may use up a refresh token. What edit changed is written
// even if it also returns an error.
func (s *Store) change(ctx context.Context, edit func(c *contents) (changed bool, err error)) error {
	unlock, err := atomicfile.Lock(ctx, s.Path(), lockLimit)
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the token file: %w", ctx.Err())
	}
	if err != nil {
		return s.fault("lock", err)
	}
	defer unlock()
	file, err := atomicfile.Create(s.Path(), 0o600)
	if err != nil {
		return s.fault("write", err)
	}
	defer file.Close()
	c, err := s.read()
	if errors.Is(err, errDamaged) {
		s.warn(err.Error() + "; sessions in it are lost")
	} else if err != nil {
		return err
	}
	changed, err := edit(&c)
	if changed {
		if saveErr := s.save(file, c); saveErr != nil && err == nil {
			err = saveErr
		}
	}
	return err
}

// save replaces the file by c, or removes it if c is empty.
func (s *Store) save(file *atomicfile.File, c contents) error {
	if len(c.Sessions)+len(c.BankKeys) == 0 {
		if err := os.Remove(s.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fault("remove", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		_, err = file.Write(append(data, '\n'))
	}
	if err == nil {
		err = file.Commit()
	}
	if err != nil {
		return s.fault("write", err)
	}
	return nil
}
