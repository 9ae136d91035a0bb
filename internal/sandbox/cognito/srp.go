package cognito

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"time"
)

// The server's half of Cognito's SRP-6a: the 3072-bit group of RFC 5054,
// SHA-256, numbers hashed as Java's BigInteger.toByteArray writes them, and a
// session key of 16 bytes through HKDF. Its counterpart is AWS's
// AuthenticationHelper.js.

// srpPrime is N of RFC 5054's 3072-bit group; the generator is 2.
const srpPrime = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
	"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
	"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
	"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
	"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
	"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
	"3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33" +
	"A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
	"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864" +
	"D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2" +
	"08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"

// exchange is one SRP exchange as the server sees it.
type exchange struct {
	user             string
	n, b             *big.Int
	salt, verifier   *big.Int
	publicA, publicB *big.Int
}

// newExchange starts an exchange with the client's public number.
func newExchange(user, password string, publicA *big.Int) exchange {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	salt := sha256.Sum256([]byte("salt " + user))
	return exchangeWith(user, password, publicA, new(big.Int).SetBytes(salt[:16]), new(big.Int).SetBytes(secret))
}

func exchangeWith(user, password string, publicA, salt, b *big.Int) exchange {
	n, g := srpN(), big.NewInt(2)
	inner := sha256.Sum256([]byte(poolName + user + ":" + password))
	x := hashInt(pad(salt), inner[:])
	v := new(big.Int).Exp(g, x, n)
	k := hashInt(pad(n), pad(g))
	publicB := new(big.Int).Mul(k, v)
	publicB.Add(publicB, new(big.Int).Exp(g, b, n)).Mod(publicB, n)
	return exchange{user, n, b, salt, v, publicA, publicB}
}

// signature is what a client that knows the password signs the secret block
// and the time with.
func (e exchange) signature(secretBlock []byte, timestamp string) []byte {
	u := hashInt(pad(e.publicA), pad(e.publicB))
	s := new(big.Int).Exp(e.verifier, u, e.n)
	s.Mul(s, e.publicA).Exp(s.Mod(s, e.n), e.b, e.n)
	key, err := hkdf.Key(sha256.New, pad(s), pad(u), "Caldera Derived Key", 16)
	if err != nil {
		return nil // only for keys longer than HKDF can make
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(poolName + e.user))
	mac.Write(secretBlock)
	mac.Write([]byte(timestamp))
	return mac.Sum(nil)
}

// parseSRPA reads a client's public number: hex, not 0 modulo N (with which
// anybody would know the key), and no longer than N.
func parseSRPA(s string) (*big.Int, error) {
	if s == "" {
		return nil, missingParameter("SRP_A")
	}
	a, ok := new(big.Int).SetString(s, 16)
	if !ok || a.Sign() <= 0 || len(s) > len(srpPrime)+2 || new(big.Int).Mod(a, srpN()).Sign() == 0 {
		return nil, invalidParameter("Invalid SRP_A")
	}
	return a, nil
}

// checkTimestamp accepts what AWS's clients send: English, UTC, the day
// without a leading zero, within five minutes of now. A well-formed time that
// is not written so, or is too far off, fails as a wrong password does.
func checkTimestamp(s string, now time.Time) error {
	const layout = "Mon Jan 2 15:04:05 UTC 2006"
	t, err := time.Parse(layout, s)
	if err != nil {
		return invalidParameter("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")
	}
	if t.Format(layout) != s || now.Sub(t).Abs() > 5*time.Minute {
		return wrongPassword()
	}
	return nil
}

func srpN() *big.Int {
	n, _ := new(big.Int).SetString(srpPrime, 16)
	return n
}

func hashInt(parts ...[]byte) *big.Int {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// pad writes a positive number as two's complement: a leading zero byte where
// the first bit would read as a sign.
func pad(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		return append([]byte{0}, b...)
	}
	return b
}
