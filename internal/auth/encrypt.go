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
)

const keySize = 32 // AES-256

// errOtherKey is behind a session that our key does not open.
var errOtherKey = errors.New("it was sealed with another key than the one in the keyring")

// open reads one session out of c.
func (s *Store) open(ctx context.Context, c contents, name string) (t Tokens, found bool, err error) {
	e, found := c.Sessions[name]
	switch {
	case !found:
		return Tokens{}, false, nil
	case e.Plain != nil:
		return e.Plain.tokens(), true, nil
	}
	kept := s.key != nil
	data, err := s.unseal(ctx, e.Sealed, name)
	if kept && errors.Is(err, errOtherKey) { // somebody has signed out and in again since the key was read
		s.key = nil
		data, err = s.unseal(ctx, e.Sealed, name)
	}
	if err != nil {
		return Tokens{}, true, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Tokens{}, true, errDamaged
	}
	return r.tokens(), true, nil
}

// unseal opens one sealed session.
func (s *Store) unseal(ctx context.Context, sealed []byte, name string) ([]byte, error) {
	box, err := s.box(ctx, false)
	if err != nil {
		return nil, err
	}
	if len(sealed) < box.NonceSize() {
		return nil, errDamaged
	}
	data, err := box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], []byte(name))
	if err != nil {
		return nil, errOtherKey
	}
	return data, nil
}

// put writes t into c, sealed or plain.
func (s *Store) put(ctx context.Context, c *contents, name string, t Tokens, sealed bool) error {
	if !sealed {
		c.Sessions[name] = entry{Plain: recorded(t)}
		return nil
	}
	box, err := s.box(ctx, true)
	if err != nil {
		return err
	}
	data, err := json.Marshal(recorded(t))
	if err != nil {
		return fmt.Errorf("write the session: %w", err)
	}
	nonce := make([]byte, box.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return fmt.Errorf("seal the session: %w", err)
	}
	// The name is authenticated too: a session cannot be passed off as another environment's.
	c.Sessions[name] = entry{Sealed: box.Seal(nonce, nonce, data, []byte(name))}
	return nil
}

// box is the cipher with the key from the keyring, which is made where there
// is none and create says so.
func (s *Store) box(ctx context.Context, create bool) (cipher.AEAD, error) {
	if s.key == nil {
		key, err := s.fetchKey(ctx, create)
		if err != nil {
			return nil, err
		}
		s.key = key
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, fmt.Errorf("seal the session: %w", err)
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
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
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

// anySealed tells whether c holds a sealed session, that is, needs the key.
func (c contents) anySealed() bool {
	for _, e := range c.Sessions {
		if e.Plain == nil {
			return true
		}
	}
	return false
}

// keep writes a new session down as the mode says. Before anything is written
// plain, there is a warning.
func (s *Store) keep(ctx context.Context, name string, t Tokens) error {
	return s.change(ctx, func(c *contents) (bool, error) {
		if !c.anySealed() {
			s.key = nil // the last sign-out took the key out of the keyring
		}
		if s.mode == FileOnly {
			s.warnPlain("as --store file asks")
			return true, s.put(ctx, c, name, t, false)
		}
		err := s.put(ctx, c, name, t, true)
		switch {
		case err == nil || ctx.Err() != nil:
			return err == nil, err
		case s.mode == KeyringOnly:
			return false, &Error{Kind: Config, Message: "cannot use the keyring: " + err.Error(), Hint: "unlock it, or use --store file", Err: err}
		}
		s.warnPlain("because the keyring cannot be used: " + err.Error())
		return true, s.put(ctx, c, name, t, false)
	})
}

func (s *Store) warnPlain(why string) {
	s.warn(fmt.Sprintf("the tokens are written to %s unencrypted (0600), %s", s.Path(), why))
}

// remove deletes a session, and with the last one the file and the key.
func (s *Store) remove(ctx context.Context, name string) error {
	return s.change(ctx, func(c *contents) (bool, error) {
		e, found := c.Sessions[name]
		delete(c.Sessions, name)
		if found && e.Plain == nil && !c.anySealed() {
			if err := s.ring.delete(ctx, s.account()); err != nil {
				s.warn("the key of the token file stays in the keyring: " + err.Error())
			}
			s.key = nil
		}
		return true, nil
	})
}
