package auth

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// srpPrime is the 3072-bit group of RFC 5054 and RFC 3526; its generator is 2.
const srpPrime = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1" +
	"29024E088A67CC74020BBEA63B139B22514A08798E3404DD" +
	"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245" +
	"E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3D" +
	"C2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F" +
	"83655D23DCA3AD961C62F356208552BB9ED529077096966D" +
	"670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
	"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9" +
	"DE2BCBF6955817183995497CEA956AE515D2261898FA0510" +
	"15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64" +
	"ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
	"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6B" +
	"F12FFA06D98A0864D87602733EC86A64521F2B18177B200C" +
	"BBE117577A615D6C770988C0BAD946E208E24FA074E5AB31" +
	"43DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"

// srp is the client's side of Cognito's Secure Remote Password exchange: the
// password itself never leaves this process.
type srp struct {
	prime           *big.Int
	private, public *big.Int // a and A
}

// newSRP starts an exchange with a new private value.
func newSRP() *srp {
	private := make([]byte, 128)
	_, _ = rand.Read(private) // never fails
	return srpFrom(new(big.Int).SetBytes(private))
}

func srpFrom(private *big.Int) *srp {
	prime, _ := new(big.Int).SetString(srpPrime, 16) // a constant
	return &srp{prime: prime, private: private, public: new(big.Int).Exp(srpGenerator(), private, prime)}
}

func srpGenerator() *big.Int { return big.NewInt(2) }

// srpSecret is x, which stands for a user and a password.
func srpSecret(salt *big.Int, identity string) *big.Int {
	sum := sha256.Sum256([]byte(identity))
	return hashInt(padded(salt), sum[:])
}

// srpProof is the answer to a PASSWORD_VERIFIER challenge.
type srpProof struct{ signature, timestamp string }

// prove answers a challenge: pool is the part of the pool's id after the
// underscore, user its USER_ID_FOR_SRP, at the time of the server's clock.
func (s *srp) prove(pool, user, password string, challenge map[string]string, at time.Time) (srpProof, error) {
	salt, okSalt := new(big.Int).SetString(challenge["SALT"], 16)
	public, okPublic := new(big.Int).SetString(challenge["SRP_B"], 16)
	block, err := base64.StdEncoding.DecodeString(challenge["SECRET_BLOCK"])
	if !okSalt || !okPublic || err != nil || public.Sign() <= 0 || new(big.Int).Mod(public, s.prime).Sign() == 0 {
		return srpProof{}, errors.New("the SRP challenge is invalid")
	}
	scramble := hashInt(padded(s.public), padded(public))
	if scramble.Sign() == 0 {
		return srpProof{}, errors.New("the SRP challenge is invalid")
	}
	x := srpSecret(salt, pool+user+":"+password)
	key, err := hkdf.Key(sha256.New, padded(s.shared(public, scramble, x)), padded(scramble), "Caldera Derived Key", 16)
	if err != nil {
		return srpProof{}, fmt.Errorf("derive the SRP key: %w", err)
	}
	// The day is unpadded and the hour counts to 24: the server signs these very bytes.
	timestamp := at.UTC().Format("Mon Jan 2 15:04:05 MST 2006")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(pool + user))
	mac.Write(block)
	mac.Write([]byte(timestamp))
	return srpProof{base64.StdEncoding.EncodeToString(mac.Sum(nil)), timestamp}, nil
}

// shared is S = (B - k*g^x)^(a + u*x) mod N.
func (s *srp) shared(public, scramble, x *big.Int) *big.Int {
	k := hashInt(padded(s.prime), padded(srpGenerator()))
	base := new(big.Int).Exp(srpGenerator(), x, s.prime)
	base.Sub(public, base.Mul(base, k))
	exponent := new(big.Int).Mul(scramble, x)
	return new(big.Int).Exp(base.Mod(base, s.prime), exponent.Add(exponent, s.private), s.prime)
}

// padded is n as Cognito hashes it: big-endian, with a zero byte in front where
// it would otherwise look negative.
func padded(n *big.Int) []byte {
	bytes := n.Bytes()
	if len(bytes) == 0 || bytes[0] >= 0x80 {
		bytes = append([]byte{0}, bytes...)
	}
	return bytes
}

func hashInt(parts ...[]byte) *big.Int {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(part)
	}
	return new(big.Int).SetBytes(hash.Sum(nil))
}

// publicHex is what goes out as SRP_A.
func (s *srp) publicHex() string { return hex.EncodeToString(s.public.Bytes()) }
