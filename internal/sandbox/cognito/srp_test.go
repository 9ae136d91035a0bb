package cognito

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// vector is an exchange recorded with AWS's own JavaScript client
// (testdata/js/vectors.js).
type vector struct {
	Note, Username, Password, Pool string
	PrivateA                       string `json:"a"`
	PublicA                        string `json:"A"`
	PrivateB                       string `json:"b"`
	PublicB                        string `json:"B"`
	Salt                           string
	SecretBlock                    []byte `json:"secret_block"`
	Timestamp, Signature           string
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/srp_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 50 {
		t.Fatalf("%d vectors", len(vectors))
	}
	return vectors
}

func TestServerAgreesWithAWSClient(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range readVectors(t) {
		if v.Pool != PoolID {
			continue
		}
		seen[v.Note] = true
		e := exchangeWith(v.Username, v.Password, mustHex(t, v.PublicA), mustHex(t, v.Salt), mustHex(t, v.PrivateB))
		if got := e.publicB.Text(16); got != v.PublicB {
			t.Errorf("%s: B = %s, want %s", v.Note, got, v.PublicB)
		}
		got := base64.StdEncoding.EncodeToString(e.signature(v.SecretBlock, v.Timestamp))
		if got != v.Signature {
			t.Errorf("%s (%s): signature %s, AWS's client has %s", v.Note, v.Username, got, v.Signature)
		}
	}
	if len(seen) != 10 {
		t.Errorf("kinds of vectors seen: %v", seen)
	}
}

// The tests' own client is right too, so what it is refused is right.
func TestTestClientAgreesWithAWSClient(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		pool := strings.TrimPrefix(v.Pool, Region+"_")
		s := srp{pool, v.Username, v.Password, mustHex(t, v.PrivateA), mustHex(t, v.PublicA)}
		if got := s.sign(t, v.Salt, v.PublicB, v.SecretBlock, v.Timestamp); got != v.Signature {
			t.Errorf("%s (%s): signature %s, AWS's client has %s", v.Note, v.Username, got, v.Signature)
		}
	}
}

func TestParseSRPA(t *testing.T) {
	t.Parallel()
	n := srpN()
	for _, s := range []string{
		"", "0", "-1", "xyz", "0x10", n.Text(16), new(big.Int).Lsh(n, 1).Text(16), strings.Repeat("1", 1000), strings.Repeat("0", 800) + "1",
	} {
		if a, err := parseSRPA(s); err == nil {
			t.Errorf("parseSRPA(%.20q) = %v", s, a)
		}
	}
	for _, s := range []string{"1", "abc", "00" + strings.ToUpper(new(big.Int).Sub(n, big.NewInt(1)).Text(16))} {
		if _, err := parseSRPA(s); err != nil {
			t.Errorf("parseSRPA(%.20q): %v", s, err)
		}
	}
}

func TestCheckTimestamp(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 6, 1, 16, 45, 50, 0, time.UTC)
	for s, kind := range map[string]string{
		"Sun Jun 1 16:45:50 UTC 2025":    "",
		"Sun Jun 1 16:50:50 UTC 2025":    "",
		"Sun Jun 1 16:40:50 UTC 2025":    "",
		"Sun Jun 1 16:50:51 UTC 2025":    "NotAuthorizedException",
		"Sun Jun 1 16:40:49 UTC 2025":    "NotAuthorizedException",
		"Sun Jun 1 04:45:50 UTC 2025":    "NotAuthorizedException", // a 12-hour clock
		"Sun Jun 01 16:45:50 UTC 2025":   "NotAuthorizedException", // a padded day
		"Mon Jun 1 16:45:50 UTC 2025":    "NotAuthorizedException", // the wrong weekday
		"Sun Jun 1 23:45:50 +07 2025":    "InvalidParameterException",
		"2025-06-01T16:45:50Z":           "InvalidParameterException",
		"Sun Jun 1 16:45:50 PM UTC 2025": "InvalidParameterException",
		"So. Juni 1 16:45:50 UTC 2025":   "InvalidParameterException",
	} {
		err := checkTimestamp(s, now)
		var e apiError
		errors.As(err, &e)
		if e.kind != kind || err == nil != (kind == "") {
			t.Errorf("checkTimestamp(%q) = %v, want %q", s, err, kind)
		}
	}
}
