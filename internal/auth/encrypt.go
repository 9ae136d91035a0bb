package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/villapay/villapay/internal/atomicfile"
)

const keySize = 32 // AES-256

// errOtherKey is behind an entry that our key does not open.
var errOtherKey = errors.New("it was encrypted with another key than the one in the keyring")

// open decodes an entry into value. Its name is authenticated: an entry moved
// to another name does not open.
func (s *Store) open(ctx context.Context, e entry, name string, value any) error {
	data := []byte(e.Plain)
	if data == nil {
		var err error
		if data, err = s.decrypt(ctx, e.Sealed, name); err != nil {
			return err
		}
	}
	if json.Unmarshal(data, value) != nil {
		return errDamaged
	}
	return nil
}

func (s *Store) decrypt(ctx context.Context, sealed []byte, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cached := s.key != nil
	data, err := s.decryptLocked(ctx, sealed, name)
	if cached && errors.Is(err, errOtherKey) { // somebody has signed out and in again since the key was read
		s.key = nil
		data, err = s.decryptLocked(ctx, sealed, name)
	}
	return data, err
}

func (s *Store) decryptLocked(ctx context.Context, sealed []byte, name string) ([]byte, error) {
	aead, err := s.aead(ctx, false)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errDamaged
	}
	data, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(name))
	if err != nil {
		return nil, errOtherKey
	}
	return data, nil
}

// encode makes an entry of value, encrypted or plain.
func (s *Store) encode(ctx context.Context, name string, value any, encrypted bool) (entry, error) {
	data, err := json.Marshal(value)
	if err != nil || !encrypted {
		return entry{Plain: data}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	aead, err := s.aead(ctx, true)
	if err != nil {
		return entry{}, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return entry{Sealed: aead.Seal(nonce, nonce, data, []byte(name))}, nil
}

// aead is the cipher with the key from the keyring, which is made if there is
// none and create is set.
func (s *Store) aead(ctx context.Context, create bool) (cipher.AEAD, error) {
	if s.key == nil {
		key, err := s.fetchKey(ctx, create)
		if err != nil {
			return nil, err
		}
		s.key = key
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *Store) fetchKey(ctx context.Context, create bool) ([]byte, error) {
	text, err := s.ring.get(ctx, s.account())
	switch {
	case err == nil:
		if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == keySize {
			return key, nil
		}
		if !create {
			return nil, errOtherKey
		}
	case !errors.Is(err, ErrNoKey):
		return nil, err
	case !create:
		return nil, errOtherKey
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key, s.ring.set(ctx, s.account(), base64.StdEncoding.EncodeToString(key))
}

// account names the key in the keyring: one a state directory, so that signing
// out in one leaves the sessions of another alone.
func (s *Store) account() string {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		dir = s.dir
	}
	sum := sha256.Sum256([]byte(dir))
	return "tokens-" + hex.EncodeToString(sum[:8])
}

// anyEncrypted reports whether c needs the key in the keyring.
func (c contents) anyEncrypted() bool {
	for _, entries := range []map[string]entry{c.Sessions, c.BankKeys} {
		for _, e := range entries {
			if e.Plain == nil {
				return true
			}
		}
	}
	return false
}

func (s *Store) forgetKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = nil
}

// keep writes value down as mode says; put stores its entry. Before anything is
// written plain there is a warning, which calls the value what.
func (s *Store) keep(ctx context.Context, mode Mode, what, name string, value any, put func(*contents, entry)) error {
	if err := atomicfile.FixDir(s.dir); err != nil {
		s.warn(err.Error())
	}
	return s.change(ctx, func(c *contents) (bool, error) {
		if !c.anyEncrypted() {
			s.forgetKey() // the last sign-out took the key out of the keyring
		}
		why := "as --store file asks"
		if mode != FileOnly {
			e, err := s.encode(ctx, name, value, true)
			switch {
			case err == nil:
				put(c, e)
				return true, nil
			case ctx.Err() != nil:
				return false, err
			case mode == KeyringOnly:
				return false, &Error{Kind: Config, Message: "cannot use the keyring: " + err.Error(), Hint: "unlock it, or use --store file", Err: err}
			}
			why = "because the keyring cannot be used: " + err.Error()
		}
		s.warn(fmt.Sprintf("%s written to %s unencrypted (0600), %s", what, s.Path(), why))
		e, err := s.encode(ctx, name, value, false)
		if err == nil {
			put(c, e)
		}
		return err == nil, err
	})
}

// remove lets edit delete entries, under the lock. With the last entry the file goes, and with
// the last encrypted one the key in the keyring.
func (s *Store) remove(ctx context.Context, edit func(*contents) error) error {
	return s.change(ctx, func(c *contents) (bool, error) {
		before := c.anyEncrypted()
		if err := edit(c); err != nil {
			return false, err
		}
		if before && !c.anyEncrypted() {
			if err := s.ring.delete(ctx, s.account()); err != nil {
				s.warn("the key of the token file stays in the keyring: " + err.Error())
			}
			s.forgetKey()
		}
		return true, nil
	})
}
