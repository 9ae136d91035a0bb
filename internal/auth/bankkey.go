package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/villapay/villapay/internal/secret"
)

// The merchant's secret key for the bank's API is stored for the URL it was
// entered for, and no other gets it: the URL is part of what is authenticated.

// bankKeyName is what a key's entry is encrypted for.
func bankKeyName(apiURL string) string { return "bank key " + apiURL }

// SaveBankKey stores the key for the bank's API at apiURL, as mode says. Before it
// is written unencrypted, there is a warning.
func (s *Store) SaveBankKey(ctx context.Context, apiURL string, key secret.String, mode Mode) error {
	name := bankKeyName(apiURL)
	return s.keep(ctx, mode, "the bank's key is", name, key.Reveal(), func(c *contents, e entry) { c.BankKeys[apiURL] = e })
}

// BankKey returns the key stored for the bank's API at apiURL, empty if there is
// none. store is "keyring" (a file encrypted with its key), "file" (plain) or "";
// it is known also if the key cannot be read.
func (s *Store) BankKey(ctx context.Context, apiURL string) (key secret.String, store string, err error) {
	c, err := s.read()
	if err != nil {
		return secret.String{}, "", s.bankKeyFault(err)
	}
	e, found := c.BankKeys[apiURL]
	switch {
	case !found:
		return secret.String{}, "", nil
	case e.Plain != nil:
		store = "file"
	default:
		store = "keyring"
	}
	var text string
	if err := s.open(ctx, e, bankKeyName(apiURL), &text); err != nil {
		return secret.String{}, store, s.bankKeyFault(err)
	}
	return secret.New(text), store, nil
}

// RemoveBankKey deletes the key for apiURL, and reports whether there was one.
func (s *Store) RemoveBankKey(ctx context.Context, apiURL string) (found bool, err error) {
	err = s.remove(ctx, func(c *contents) error {
		_, found = c.BankKeys[apiURL]
		delete(c.BankKeys, apiURL)
		return nil
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
		Hint: "unlock the keyring, or enter the key again with `villapay login --kbank-secret`",
	}
}
