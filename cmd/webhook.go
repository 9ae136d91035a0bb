package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/secret"
)

func newWebhook(a *app) *cobra.Command {
	return group("webhook", "Receive, send and verify payment notifications",
		"  villapay webhook listen --env sandbox\n  villapay webhook send 492500004632 --env sandbox",
		newWebhookListen(a), newWebhookReplay(a), newWebhookSend(a), newWebhookVerify(a))
}

// secretFlag is the --secret-file flag.
type secretFlag struct{ file string }

func (s *secretFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "secret-file", "", "`FILE` that holds the secret key (default: VILLAPAY_WEBHOOK_SECRET or VILLAPAY_KBANK_SECRET)")
}

// key reads the secret key that notifications are signed with.
func (s *secretFlag) key(ctx context.Context, a *app) (secret.String, error) {
	text, from := "", s.file
	if s.file != "" {
		file, err := a.openInput(ctx, s.file)
		if err != nil {
			return secret.String{}, &localError{err: fmt.Errorf("read the secret key: %w", err)}
		}
		defer file.Close()
		if text, err = readLimited(file); err != nil {
			return secret.String{}, &localError{err: fmt.Errorf("read the secret key: %s: %w", s.file, err)}
		}
	} else {
		for _, from = range []string{"VILLAPAY_WEBHOOK_SECRET", kbankVariable} {
			if text = a.Getenv(from); text != "" {
				break
			}
		}
		if text == "" {
			return secret.String{}, &localError{
				err:  errors.New("there is no secret key for notifications"),
				hint: "set VILLAPAY_WEBHOOK_SECRET, or use --secret-file FILE",
			}
		}
	}
	key, err := config.ParseSecretKey(text)
	if err != nil {
		return secret.String{}, &localError{err: fmt.Errorf("read the secret key: %s: %w", from, err)}
	}
	return key, nil
}

// readNotification reads a notification from a file, or from stdin for "-".
func (a *app) readNotification(ctx context.Context, name string, limit int64) ([]byte, error) {
	source, err := a.openInput(ctx, name)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), usageError("", "%s", err))
	}
	defer source.Close()
	body, err := io.ReadAll(io.LimitReader(source, limit+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, usageError("", "read the notification: %s", err)
	}
	return bytes.TrimSpace(body), nil
}

// listenAddr is the default address for notifications.
const listenAddr = "127.0.0.1:8975"
