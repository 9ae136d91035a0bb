package cognito

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
)

func TestCodesByMail(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ConfidentialID)
	for user, want := range map[string]map[string]string{
		"mail":   {"challenge": "EMAIL_OTP", "medium": "EMAIL", "to": "m***@v***"},
		"smsotp": {"challenge": "SMS_OTP", "medium": "SMS", "to": "+*******1234"},
	} {
		first := a.srpFlow(user, password)
		params := first.ChallengeParameters
		got := map[string]string{"challenge": first.ChallengeName, "medium": params["CODE_DELIVERY_DELIVERY_MEDIUM"], "to": params["CODE_DELIVERY_DESTINATION"]}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", user, got, want)
		}
		parameter := first.ChallengeName + "_CODE"
		wantError(t, a.respond(first, map[string]string{"SMS_MFA_CODE": SMSCode}), badParam, "Missing required parameter "+parameter)
		wantError(t, a.respond(first, map[string]string{parameter: "000000"}), "CodeMismatchException", badCode)
		a.signedIn(a.respond(first, map[string]string{parameter: SMSCode}))
	}
	first := a.srpFlow("any", password)
	if got := first.ChallengeParameters["MFAS_CAN_CHOOSE"]; got != `["SMS_MFA","SOFTWARE_TOKEN_MFA","EMAIL_OTP"]` {
		t.Errorf("choice of %s", got)
	}
	wantError(t, a.respond(first, map[string]string{"ANSWER": "SMS_OTP"}), badParam, "Invalid MFA type SMS_OTP")
	second := a.respond(first, map[string]string{"ANSWER": "EMAIL_OTP"})
	a.signedIn(a.respond(second, map[string]string{"EMAIL_OTP_CODE": SMSCode}))
}

func TestPasswordHistory(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	a := newApp(t, p, ClientID)
	first := a.srpFlow("history", password)
	for _, old := range []string{password, "Passw0rd!2"} {
		wantError(t, a.respond(first, map[string]string{"NEW_PASSWORD": old}), "PasswordHistoryPolicyViolationException", "Password has previously been used.")
	}
	a.signedIn(a.respond(first, map[string]string{"NEW_PASSWORD": "B3tter-than-that"}))
}

// device is a sign-in in a pool that remembers devices.
type device struct {
	app
	access, refresh, key string
}

func (a app) device(user string) device {
	a.t.Helper()
	result := a.signedIn(a.srpFlow(user, password)).AuthenticationResult
	metadata := result.NewDeviceMetadata
	if !strings.HasPrefix(metadata.DeviceKey, Region+"_") || metadata.DeviceGroupKey == "" {
		a.t.Fatalf("device %+v", metadata)
	}
	return device{a, result.AccessToken, result.RefreshToken, metadata.DeviceKey}
}

func (d device) confirm(changes map[string]any) answer {
	d.t.Helper()
	in := map[string]any{
		"AccessToken": d.access, "DeviceKey": d.key,
		"DeviceSecretVerifierConfig": map[string]string{"PasswordVerifier": "AQI=", "Salt": base64.StdEncoding.EncodeToString(make([]byte, 16))},
	}
	maps.Copy(in, changes)
	return d.call("ConfirmDevice", in)
}

func (d device) refreshFrom(key string) answer {
	d.t.Helper()
	return d.call("GetTokensFromRefreshToken", map[string]any{"ClientId": d.id, "RefreshToken": d.refresh, "DeviceKey": key})
}

func TestDevices(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{Dir: t.TempDir()})
	a := newApp(t, p, ClientID)
	if out := a.signedIn(a.srpFlow("ann", password)); out.AuthenticationResult.NewDeviceMetadata.DeviceKey != "" {
		t.Error("a device in a pool that remembers none")
	}

	d := a.device("device")
	a.signedIn(d.refreshFrom("")) // nothing is confirmed yet
	for member, value := range map[string]any{
		"DeviceSecretVerifierConfig": map[string]string{"PasswordVerifier": "AQI=", "Salt": "AQI="},
		"DeviceKey":                  nil,
		"AccessToken":                "x",
	} {
		if out := d.confirm(map[string]any{member: value}); out.Type == "" {
			t.Errorf("confirmed with %s %v", member, value)
		}
	}
	n := base64.StdEncoding.EncodeToString(srpN().Bytes())
	wantError(t, d.confirm(map[string]any{"DeviceSecretVerifierConfig": map[string]string{"PasswordVerifier": n, "Salt": n}}), badParam, "Invalid device secret verifier")
	wantError(t, d.confirm(map[string]any{"DeviceKey": "another"}), "ResourceNotFoundException", "Device does not exist.")
	if out := d.confirm(nil); out.status != 200 || out.UserConfirmationNecessary {
		t.Errorf("confirmed: %d %s", out.status, out.Message)
	}
	wantError(t, d.confirm(nil), badParam, "Device already exists")
	wantError(t, d.refreshFrom(""), notAllowed, badRefresh)
	a.signedIn(d.refreshFrom(d.key))
	a.signedIn(a.initiate("REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": d.refresh, "DEVICE_KEY": d.key}))
	wantError(t, d.refreshFrom("another"), notAllowed, badRefresh)
	wantError(t, d.refreshFrom(d.key), notAllowed, revokedRefresh)

	d = a.device("device")
	wantError(t, d.refreshFrom(d.key), notAllowed, badRefresh) // not confirmed: the end of the session
	wantError(t, d.refreshFrom(""), notAllowed, revokedRefresh)
}

func TestDeviceThatTheUserRemembers(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	d := newApp(t, p, ClientID).device("device2")
	status := func(key, status string) answer {
		return d.call("UpdateDeviceStatus", map[string]any{"AccessToken": d.access, "DeviceKey": key, "DeviceRememberedStatus": status})
	}
	wantError(t, status(d.key, "remembered"), badParam, "Invalid device status")
	if out := d.confirm(nil); !out.UserConfirmationNecessary {
		t.Error("the user is not asked")
	}
	wantError(t, status(d.key, "maybe"), badParam, "Invalid device status")
	wantError(t, status("another", "remembered"), "ResourceNotFoundException", "Device does not exist.")
	if out := status(d.key, "remembered"); out.status != 200 {
		t.Errorf("status %d %s", out.status, out.Message)
	}
	for _, g := range p.grants {
		if !g.Remembered {
			t.Error("not remembered")
		}
	}
}
