package cognito

import (
	"encoding/base64"
	"math/big"
)

// newDevice tells a client to confirm its device (AWS: NewDeviceMetadataType).
type newDevice struct {
	DeviceGroupKey, DeviceKey string
}

const deviceGroup = "-SandboxGr"

// confirmDevice takes what a client will prove to be the same device with. A
// device is one sign-in's.
func (p *Pool) confirmDevice(_ string, in input) (any, error) {
	a, g, err := p.ownerOf(in.AccessToken)
	if err != nil {
		return nil, err
	}
	verifier, err := base64.StdEncoding.DecodeString(in.DeviceSecretVerifierConfig["PasswordVerifier"])
	salt, saltErr := base64.StdEncoding.DecodeString(in.DeviceSecretVerifierConfig["Salt"])
	n := new(big.Int).SetBytes(verifier)
	if err != nil || saltErr != nil || n.Sign() == 0 || n.Cmp(srpN()) >= 0 || len(salt) < 16 {
		return nil, invalidParameter("Invalid device secret verifier")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := g.hasDevice(in.DeviceKey); err != nil {
		return nil, err
	}
	if g.Confirmed {
		return nil, invalidParameter("Device already exists")
	}
	g.Confirmed = true
	return struct{ UserConfirmationNecessary bool }{a.devices == deviceAsks}, p.save()
}

func (p *Pool) updateDeviceStatus(_ string, in input) (any, error) {
	_, g, err := p.ownerOf(in.AccessToken)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := g.hasDevice(in.DeviceKey); err != nil {
		return nil, err
	}
	if s := in.DeviceRememberedStatus; !g.Confirmed || s != "remembered" && s != "not_remembered" {
		return nil, invalidParameter("Invalid device status")
	}
	g.Remembered = in.DeviceRememberedStatus == "remembered"
	return struct{}{}, p.save()
}

func (g *grant) hasDevice(key string) error {
	if key == "" {
		return missingMember("deviceKey")
	}
	if key != g.Device {
		return apiErr("ResourceNotFoundException", "Device does not exist.")
	}
	return nil
}

// refreshFrom checks the device that a refresh token is used from. A device key
// that is not confirmed ends the session, as with AWS.
func (g *grant) refreshFrom(key string) error {
	if g.Device == "" || key == "" && !g.Confirmed || key == g.Device && g.Confirmed {
		return nil
	}
	g.Revoked = g.Revoked || key != ""
	return notAuthorized("Invalid Refresh Token")
}
