package cognito

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stored is the content of the file that keeps a pool's key and grants. It is
// replaced whole.
type stored struct {
	Key    []byte // PKCS #8
	Grants []*grant
}

func (p *Pool) path() string { return filepath.Join(p.opts.Dir, "cognito.json") }

// load reads what an earlier pool kept, if one did.
func (p *Pool) load() error {
	if p.opts.Dir == "" {
		return nil
	}
	info, err := os.Lstat(p.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.Mode().IsRegular() { // a FIFO would be waited for
		err = fmt.Errorf("%s is not a regular file", p.path())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(p.path())
	}
	if err != nil {
		return fmt.Errorf("sandbox sign-in: %w", err)
	}
	if err := p.restore(text); err != nil {
		return fmt.Errorf("sandbox sign-in: read %s: %w", p.path(), err)
	}
	return nil
}

func (p *Pool) restore(text []byte) error {
	var content stored
	if err := json.Unmarshal(text, &content); err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(content.Key)
	if err != nil {
		return err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return errors.New("the key is not an RSA key")
	}
	for _, g := range content.Grants {
		if g == nil || g.Tokens == nil {
			return errors.New("a grant without tokens")
		}
		p.grants[g.Origin] = g
	}
	p.key, p.keyKept = key, true
	return nil
}

// save replaces the file. The caller holds p.mu.
func (p *Pool) save() error {
	if p.opts.Dir == "" {
		return nil
	}
	key, err := p.privateKey()
	if err != nil {
		return err
	}
	content := stored{Grants: make([]*grant, 0, len(p.grants))}
	if content.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return fmt.Errorf("keep signing key: %w", err)
	}
	for _, g := range p.grants {
		content.Grants = append(content.Grants, g)
	}
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("keep sign-in state: %w", err)
	}
	if err := replaceFile(p.path(), text); err != nil {
		return fmt.Errorf("keep sign-in state: %w", err)
	}
	p.keyKept = true
	return nil
}

// replaceFile replaces path whole, readable only by its owner. It is not synced:
// the sandbox survives a crash of the process, not of the machine.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cognito-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
