package cognito

import (
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

// AWS's own JavaScript client signs in, refreshes and signs out, with every
// kind of user: it runs where VILLAPAY_TEST_NODE names, absolutely, a directory
// in which `npm install` was run with testdata/js/package.json.
func TestJavaScriptClient(t *testing.T) {
	t.Parallel()
	modules := filepath.Join(os.Getenv("VILLAPAY_TEST_NODE"), "node_modules")
	if os.Getenv("VILLAPAY_TEST_NODE") == "" {
		t.Skip("VILLAPAY_TEST_NODE names no directory with amazon-cognito-identity-js")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node")
	}
	p, _ := newPool(t, Options{Now: time.Now})
	server := httptest.NewServer(p)
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), node, "testdata/js/signin.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "ENDPOINT="+server.URL, "POOL="+PoolID)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script, err := os.ReadFile("testdata/js/signin.js")
	if err != nil {
		t.Fatal(err)
	}
	if passed, all := strings.Count(string(out), "ok "), strings.Count(string(script), "  async '"); passed != all {
		t.Errorf("%d of %d checks passed:\n%s", passed, all, out)
	}
}

func sdk(t *testing.T, p *Pool) *cip.Client {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return cip.New(cip.Options{
		BaseEndpoint: aws.String(server.URL), Region: Region, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: server.Client(),
	})
}

// AWS's SDK for Go reads what the pool says, challenges and tokens alike.
func TestGoSDK(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	client, a := sdk(t, p), newApp(t, p, ConfidentialID)
	s := newSRP(t, "both", password)
	first, err := client.InitiateAuth(t.Context(), &cip.InitiateAuthInput{
		AuthFlow: types.AuthFlowTypeUserSrpAuth, ClientId: aws.String(a.id),
		AuthParameters: a.withHash("both", map[string]string{"USERNAME": "both", "SRP_A": s.bigA.Text(16)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	block, err := base64.StdEncoding.DecodeString(first.ChallengeParameters["SECRET_BLOCK"])
	if err != nil {
		t.Fatal(err)
	}
	stamp := p.now().Format(awsTime)
	session := first.Session
	respond := func(name types.ChallengeNameType, responses map[string]string) *cip.RespondToAuthChallengeOutput {
		t.Helper()
		responses["USERNAME"] = "both"
		out, err := client.RespondToAuthChallenge(t.Context(), &cip.RespondToAuthChallengeInput{
			ChallengeName: name, ClientId: aws.String(a.id), Session: session, ChallengeResponses: a.withHash("both", responses),
		})
		if err != nil {
			t.Fatal(err)
		}
		session = out.Session
		return out
	}
	respond(types.ChallengeNameTypePasswordVerifier, map[string]string{
		"PASSWORD_CLAIM_SECRET_BLOCK": first.ChallengeParameters["SECRET_BLOCK"], "TIMESTAMP": stamp,
		"PASSWORD_CLAIM_SIGNATURE": s.sign(t, first.ChallengeParameters["SALT"], first.ChallengeParameters["SRP_B"], block, stamp),
	})
	respond(types.ChallengeNameTypeSelectMfaType, map[string]string{"ANSWER": "SMS_MFA"})
	tokens := respond(types.ChallengeNameTypeSmsMfa, map[string]string{"SMS_MFA_CODE": SMSCode}).AuthenticationResult
	if status, message := p.Check(*tokens.IdToken); status != 0 {
		t.Errorf("the API refuses it: %d %s", status, message)
	}
	again, err := client.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{
		ClientId: aws.String(a.id), ClientSecret: aws.String(a.secret), RefreshToken: tokens.RefreshToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	if again.AuthenticationResult.ExpiresIn != 3600 || again.AuthenticationResult.RefreshToken != nil {
		t.Errorf("refreshed: %+v", again.AuthenticationResult)
	}
	if _, err := client.GlobalSignOut(t.Context(), &cip.GlobalSignOutInput{AccessToken: tokens.AccessToken}); err != nil {
		t.Error(err)
	}
	_, err = client.RevokeToken(t.Context(), &cip.RevokeTokenInput{
		ClientId: aws.String(a.id), ClientSecret: aws.String(a.secret), Token: tokens.RefreshToken,
	})
	if err != nil {
		t.Error(err)
	}
}

// AWS's SDK for Go confirms a device and refreshes from it.
func TestGoSDKDevice(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	client := sdk(t, p)
	out, err := client.InitiateAuth(t.Context(), &cip.InitiateAuthInput{
		AuthFlow: types.AuthFlowTypeUserPasswordAuth, ClientId: aws.String(ClientID),
		AuthParameters: map[string]string{"USERNAME": "device2", "PASSWORD": password},
	})
	if err != nil || out.AuthenticationResult.NewDeviceMetadata == nil {
		t.Fatal(out, err)
	}
	tokens, key := out.AuthenticationResult, out.AuthenticationResult.NewDeviceMetadata.DeviceKey
	confirmed, err := client.ConfirmDevice(t.Context(), &cip.ConfirmDeviceInput{
		AccessToken: tokens.AccessToken, DeviceKey: key, DeviceName: aws.String("test"),
		DeviceSecretVerifierConfig: &types.DeviceSecretVerifierConfigType{
			PasswordVerifier: aws.String("AQI="), Salt: aws.String(base64.StdEncoding.EncodeToString(make([]byte, 16))),
		},
	})
	if err != nil || !confirmed.UserConfirmationNecessary {
		t.Fatal(confirmed, err)
	}
	_, err = client.UpdateDeviceStatus(t.Context(), &cip.UpdateDeviceStatusInput{
		AccessToken: tokens.AccessToken, DeviceKey: key, DeviceRememberedStatus: types.DeviceRememberedStatusTypeRemembered,
	})
	if err != nil {
		t.Error(err)
	}
	_, err = client.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{
		ClientId: aws.String(ClientID), RefreshToken: tokens.RefreshToken, DeviceKey: key,
	})
	if err != nil {
		t.Error(err)
	}
}

// Errors reach the SDK as the types it knows.
func TestGoSDKErrors(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, Options{})
	client := sdk(t, p)
	signIn := func(id, name, password string) error {
		_, err := client.InitiateAuth(t.Context(), &cip.InitiateAuthInput{
			AuthFlow: types.AuthFlowTypeUserPasswordAuth, ClientId: aws.String(id),
			AuthParameters: map[string]string{"USERNAME": name, "PASSWORD": password},
		})
		return err
	}
	var (
		notAuthorized  *types.NotAuthorizedException
		reset          *types.PasswordResetRequiredException
		unconfirmed    *types.UserNotConfirmedException
		notFound       *types.ResourceNotFoundException
		parameter      *types.InvalidParameterException
		reuse          *types.RefreshTokenReuseException
		wrongTokenType *types.UnsupportedTokenTypeException
	)
	a := newApp(t, p, RotatingID)
	tokens := a.signedIn(a.srpFlow("ann", password)).AuthenticationResult
	a.signedIn(a.refresh(tokens.RefreshToken))
	_, reused := client.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{
		ClientId: aws.String(RotatingID), RefreshToken: aws.String(tokens.RefreshToken),
	})
	_, wrongType := client.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: aws.String(RotatingID), Token: aws.String(tokens.AccessToken)})
	for _, test := range []struct {
		err    error
		target any
	}{
		{signIn(ClientID, "ann", "wrong"), &notAuthorized},
		{signIn(ClientID, "reset", password), &reset},
		{signIn(ClientID, "unconf", password), &unconfirmed},
		{signIn("other", "ann", password), &notFound},
		{signIn(SRPOnlyID, "ann", password), &parameter},
		{reused, &reuse},
		{wrongType, &wrongTokenType},
	} {
		if !errors.As(test.err, test.target) {
			t.Errorf("error %v is not a %T", test.err, test.target)
		}
	}
	if notAuthorized != nil && notAuthorized.ErrorMessage() != wrongText {
		t.Errorf("message %q", notAuthorized.ErrorMessage())
	}
}
