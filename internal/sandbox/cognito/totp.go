package cognito

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, and what Cognito's codes are
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

const totpStep = 30 // seconds, RFC 6238

// TOTP is the six-digit code that an authenticator app with the base32 secret
// shows at t (RFC 6238), empty if secret is not base32.
func TOTP(secret string, t time.Time) string {
	return totpAt(secret, t.Unix()/totpStep)
}

func totpAt(secret string, step int64) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return ""
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash does not fail
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// checkTOTP accepts the code of this step and its neighbours, each once. The
// caller holds p.mu.
func (a *account) checkTOTP(code string, now time.Time) error {
	for _, step := range []int64{0, -1, 1} {
		step += now.Unix() / totpStep
		if subtle.ConstantTimeCompare([]byte(totpAt(a.totpSecret, step)), []byte(code)) == 0 {
			continue
		}
		if step <= a.lastTOTP {
			return expiredCode("Your software token has already been used once.")
		}
		a.lastTOTP = step
		return nil
	}
	return codeMismatch("Invalid code received for user")
}
