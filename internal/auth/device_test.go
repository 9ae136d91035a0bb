package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
)

// The vectors were recorded with AWS's own JavaScript client.
func TestDeviceVerifierAgreesWithAWSClient(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/device_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Group, Key, Password, Salt, Verifier string }
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) < 4 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		salt, err := base64.StdEncoding.DecodeString(v.Salt)
		if err != nil {
			t.Fatal(err)
		}
		n := new(big.Int).SetBytes(salt)
		if got := base64.StdEncoding.EncodeToString(deviceVerifier(deviceMetadata{v.Group, v.Key}, v.Password, n)); got != v.Verifier {
			t.Errorf("%s: got %s, want %s", v.Key, got, v.Verifier)
		}
		if got := base64.StdEncoding.EncodeToString(padded(n)); got != v.Salt {
			t.Errorf("%s: salt %s, want %s", v.Key, got, v.Salt)
		}
	}
}

func TestDeviceSalt(t *testing.T) {
	t.Parallel()
	for range 2000 {
		if salt := padded(deviceSalt()); len(salt) != 16 {
			t.Fatalf("a salt of %d bytes", len(salt))
		}
	}
}

// instead answers calls of one name with an error of Cognito's.
func (b *bench) instead(name, kind string) {
	next := b.calls.next
	b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+name) {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var in struct{ AccessToken string }
		_ = json.Unmarshal(body, &in)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("Date", b.clock.now().Format(http.TimeFormat))
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "no, " + in.AccessToken})
	})
}

// A session in a pool that remembers devices outlives its first refresh, and the
// ones after it.
func TestDeviceIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user, unsupported string
		status            int // calls of UpdateDeviceStatus
	}{
		"confirmed":        {user: "device"},
		"remembered":       {user: "device2", status: 1},
		"the older call":   {user: "device", unsupported: "GetTokensFromRefreshToken"},
		"no device at all": {user: "ann"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, r := newBench(t, cognito.Options{}), newRing()
			if test.unsupported != "" {
				b.instead(test.unsupported, "UnknownOperationException")
			}
			tokens, err := b.client(nil).Password(t.Context(), test.user, secret.New(rightPassword))
			if err != nil {
				t.Fatal(err)
			}
			s := b.session(t.TempDir(), r)
			if err := s.Save(t.Context(), tokens, Auto); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				b.clock.add(time.Hour)
				s = b.again(s, r)
				if _, err := s.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			confirmed := 1
			if test.user == "ann" {
				confirmed = 0
			}
			if n := b.calls.count("ConfirmDevice"); n != confirmed {
				t.Errorf("confirmed %d times", n)
			}
			if n := b.calls.count("UpdateDeviceStatus"); n != test.status {
				t.Errorf("status updated %d times", n)
			}
			if b.warned.String() != "" {
				t.Errorf("warned %s", b.warned)
			}
		})
	}
}

// Without a confirmed device the session goes on without its key, and says so.
func TestDeviceThatCannotBeConfirmed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"NotAuthorizedException", "InternalErrorException", "UnknownOperationException"} {
		b, r := newBench(t, cognito.Options{}), newRing()
		b.instead("ConfirmDevice", kind)
		tokens, err := b.client(nil).Password(t.Context(), "device", secret.New(rightPassword))
		if err != nil || tokens.Device != "" {
			t.Fatalf("%s: device %q, %v", kind, tokens.Device, err)
		}
		if warned := b.warned.String(); !strings.Contains(warned, "could not be registered") || strings.Contains(warned, tokens.Access.Reveal()) {
			t.Errorf("%s: warned %s", kind, warned)
		}
		s := b.session(t.TempDir(), r)
		if err := s.Save(t.Context(), tokens, Auto); err != nil {
			t.Fatal(err)
		}
		b.clock.add(time.Hour)
		if _, err := b.again(s, r).Token(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// The device stays confirmed if the pool will not remember it.
func TestDeviceStatusIsOptional(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	b.instead("UpdateDeviceStatus", "InternalErrorException")
	tokens, err := b.client(nil).Password(t.Context(), "device2", secret.New(rightPassword))
	if err != nil || tokens.Device == "" || !strings.Contains(b.warned.String(), "does not remember") {
		t.Errorf("device %q, %v, warned %s", tokens.Device, err, b.warned)
	}
	if _, err := b.client(nil).Refresh(t.Context(), tokens); err != nil {
		t.Error(err)
	}
}

func TestInterruptedConfirmation(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	next := b.calls.next
	b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ConfirmDevice") {
			cancel()
			<-r.Context().Done()
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err := b.client(nil).Password(ctx, "device", secret.New(rightPassword)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the interruption", err)
	}
}

// The key of a device goes with refreshes alone, so that no pool asks for its
// proof.
func TestDeviceKeyIsNotSentWithASignIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, cognito.Options{})
	next := b.calls.next
	var sent texts
	b.calls.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if target := r.Header.Get("X-Amz-Target"); strings.HasSuffix(target, "Auth") || strings.HasSuffix(target, "Challenge") {
			sent.add(string(body))
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
	for range 2 {
		if _, err := b.client(nil).Password(t.Context(), "device", secret.New(rightPassword)); err != nil {
			t.Fatal(err)
		}
	}
	if text := sent.String(); text == "" || strings.Contains(text, "DEVICE_KEY") || strings.Contains(text, "DeviceKey") {
		t.Errorf("sent %s", text)
	}
}
