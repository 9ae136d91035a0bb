package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// deviceMetadata comes with a sign-in in a pool that remembers devices.
type deviceMetadata struct{ DeviceGroupKey, DeviceKey string }

// confirmDevice registers this sign-in's device with the pool and returns its key
// for refreshes, "" if there is none. A refresh with an unconfirmed key would end
// the session, so a device that cannot be confirmed goes without: a warning. The
// key is never sent with a sign-in, so the pool never asks for a device's proof,
// and its password need not be kept.
func (c *Client) confirmDevice(ctx context.Context, r authResult) (string, error) {
	device := r.NewDeviceMetadata
	if device.DeviceKey == "" {
		return "", nil
	}
	salt := deviceSalt()
	var confirmed struct{ UserConfirmationNecessary bool }
	err := c.call(ctx, "ConfirmDevice", map[string]any{
		"AccessToken": r.AccessToken, "DeviceKey": device.DeviceKey, "DeviceName": "villapay",
		"DeviceSecretVerifierConfig": map[string]string{
			"PasswordVerifier": base64.StdEncoding.EncodeToString(deviceVerifier(device, rand.Text(), salt)),
			"Salt":             base64.StdEncoding.EncodeToString(padded(salt)),
		},
	}, &confirmed)
	if err != nil {
		err = c.explain(err)
		if errors.Is(err, context.Canceled) {
			return "", err
		}
		c.warn(fmt.Sprintf("this device could not be registered with the user pool, so the session may end early: %v", err))
		return "", nil
	}
	if confirmed.UserConfirmationNecessary {
		err := c.call(ctx, "UpdateDeviceStatus", map[string]any{
			"AccessToken": r.AccessToken, "DeviceKey": device.DeviceKey, "DeviceRememberedStatus": "remembered",
		}, nil)
		if err != nil { // it is confirmed all the same
			c.warn(fmt.Sprintf("the user pool does not remember this device: %v", c.explain(err)))
		}
	}
	return device.DeviceKey, nil
}

// deviceSalt is a random number of 16 bytes, the first of which is not 0 when it is
// written.
func deviceSalt() *big.Int {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salt[0] = salt[0]&0x7f | 0x40
	return new(big.Int).SetBytes(salt)
}

// deviceVerifier is what a device's password is proved against later: g^x mod N.
func deviceVerifier(device deviceMetadata, password string, salt *big.Int) []byte {
	prime, _ := new(big.Int).SetString(srpPrime, 16) // a constant
	x := srpSecret(salt, device.DeviceGroupKey+device.DeviceKey+":"+password)
	return padded(x.Exp(srpGenerator(), x, prime))
}
