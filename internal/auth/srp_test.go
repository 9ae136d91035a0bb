package auth

import (
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// The vectors were recorded with AWS's own JavaScript client.
func TestSRPAgreesWithAWSClient(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../sandbox/cognito/testdata/srp_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []map[string]string
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) < 20 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		private, _ := new(big.Int).SetString(v["a"], 16)
		exchange := srpFrom(private)
		if want, _ := new(big.Int).SetString(v["A"], 16); exchange.public.Cmp(want) != 0 {
			t.Errorf("%s: A differs", v["note"])
		}
		at, err := time.Parse("Mon Jan 2 15:04:05 UTC 2006", v["timestamp"])
		if err != nil {
			t.Fatal(err)
		}
		_, pool, _ := strings.Cut(v["pool"], "_")
		proof, err := exchange.prove(pool, v["username"], v["password"], map[string]string{
			"SALT": v["salt"], "SRP_B": v["B"], "SECRET_BLOCK": v["secret_block"],
		}, at.In(time.FixedZone("Bangkok", 7*3600)))
		if err != nil {
			t.Fatal(err)
		}
		if proof.timestamp != v["timestamp"] || proof.signature != v["signature"] {
			t.Errorf("%s: got %+v, want %s at %s", v["note"], proof, v["signature"], v["timestamp"])
		}
	}
}

func TestSRPTimestamp(t *testing.T) {
	t.Parallel()
	exchange := newSRP()
	challenge := map[string]string{"SALT": "ab", "SRP_B": "1234", "SECRET_BLOCK": "AAAA"}
	for at, want := range map[time.Time]string{
		time.Date(2025, 6, 3, 16, 45, 50, 0, time.UTC): "Tue Jun 3 16:45:50 UTC 2025",
		time.Date(2025, 12, 31, 0, 5, 9, 0, time.UTC):  "Wed Dec 31 00:05:09 UTC 2025",
	} {
		if proof, err := exchange.prove("p", "u", "pw", challenge, at); err != nil || proof.timestamp != want {
			t.Errorf("got %q, %v; want %q", proof.timestamp, err, want)
		}
	}
}

func TestSRPRefusesNonsense(t *testing.T) {
	t.Parallel()
	exchange := newSRP()
	for name, c := range map[string]map[string]string{
		"nothing":           {},
		"salt not hex":      {"SALT": "xyz", "SRP_B": "12", "SECRET_BLOCK": "AAAA"},
		"B is zero":         {"SALT": "ab", "SRP_B": "0", "SECRET_BLOCK": "AAAA"},
		"B is N":            {"SALT": "ab", "SRP_B": srpPrime, "SECRET_BLOCK": "AAAA"},
		"B is negative":     {"SALT": "ab", "SRP_B": "-5", "SECRET_BLOCK": "AAAA"},
		"block not base64":  {"SALT": "ab", "SRP_B": "12", "SECRET_BLOCK": "*"},
		"a multiple of N B": {"SALT": "ab", "SRP_B": srpPrime + "0", "SECRET_BLOCK": "AAAA"},
	} {
		if proof, err := exchange.prove("p", "u", "pw", c, time.Now()); err == nil {
			t.Errorf("%s: got a proof %+v", name, proof)
		}
	}
}
