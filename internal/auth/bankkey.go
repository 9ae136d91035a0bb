package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/villapay/villapay/internal/secret"
)

// The merchant's secret key for the bank's API is stored for the URL it was
// entered for, and no other gets it: the URL is part of what is authenticated.

// bankKeyName is what a key's entry is encrypted for.
func bankKeyName(apiURL string) string { return "bank key " + apiURL }

// ParseBankKey reads a merchant's secret key for an environment that is live or
// not. The error does not show the key.
func ParseBankKey(text string, live bool) (secret.String, error) {
	key, err := secret.ParseKey(text)
	if err != nil {
		return secret.String{}, err
	}
	has := func(part string) bool { return strings.Contains(strings.ToLower(key.Reveal()), part) }
	switch {
	case has("pkey_"):
		return secret.String{}, errors.New("this is a public key; the bank's API needs the secret key")
	case has("_test_") && live:
		return secret.String{}, errors.New("this is a test key, and the environment is live")
	case (has("_prod_") || has("_live_")) && !live:
		return secret.String{}, errors.New("this is a live key, and the environment is not live")
	}
	return key, nil
}

// SaveBankKey stores the key for the bank's API at apiURL, as mode says. Before it
// is written unencrypted, there is a warning.
func (s *Store) SaveBankKey(ctx context.Context, apiURL string, key secret.String, mode Mode) error {
	name := bankKeyName(apiURL)
	return s.keep(ctx, mode, "the bank's key is", name, key.Reveal(), func(c *contents, e entry) { c.BankKeys[apiURL] = e })
}

// BankKey returns the key stored for the bank's API at apiURL, empty if there is
// none.
func (s *Store) BankKey(ctx context.Context, apiURL string) (secret.String, error) {
	c, err := s.read()
	e, found := c.BankKeys[apiURL]
	if err == nil && !found {
		return secret.String{}, nil
	}
	var key string
	if err == nil {
		err = s.open(ctx, e, bankKeyName(apiURL), &key)
	}
	if err != nil {
		return secret.String{}, s.bankKeyFault(err)
	}
	return secret.New(key), nil
}

// BankKeyStore says how the key for apiURL is stored: "keyring" (a file encrypted
// with its key), "file" (plain), or "" if there is none. It reads no key.
func (s *Store) BankKeyStore(apiURL string) (string, error) {
	c, err := s.read()
	e, found := c.BankKeys[apiURL]
	switch {
	case err != nil:
		return "", s.bankKeyFault(err)
	case !found:
		return "", nil
	case e.Plain != nil:
		return "file", nil
	}
	return "keyring", nil
}

// RemoveBankKey deletes the key for apiURL, and reports whether there was one.
func (s *Store) RemoveBankKey(ctx context.Context, apiURL string) (found bool, err error) {
	err = s.remove(ctx, func(c *contents) {
		_, found = c.BankKeys[apiURL]
		delete(c.BankKeys, apiURL)
	})
	return found, err
}

func (s *Store) bankKeyFault(err error) error {
	var authErr *Error
	if errors.As(err, &authErr) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{
		Kind: Config, Message: fmt.Sprintf("cannot read the bank's key in %s: %v", s.Path(), err), Err: err,
		Hint: "unlock the keyring, or enter the key again with villapay login --kbank-secret",
	}
}
