package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/villapay/villapay/internal/secret"
)

// The user pool's own API, AWS JSON 1.1: a few calls, none of them signed. AWS's
// SDK would be a twentieth of the binary and slow down every start. Tests prove
// the sandbox's pool with that SDK, and these calls with that pool.

// step is the state of a sign-in, a challenge or a result: the response of
// InitiateAuth, RespondToAuthChallenge and GetTokensFromRefreshToken.
type step struct {
	ChallengeName        string
	ChallengeParameters  map[string]string
	Session              string
	AuthenticationResult *authResult
}

// authResult holds the tokens that a sign-in ends with.
type authResult struct {
	IDToken           string `json:"IdToken"`
	AccessToken       string
	RefreshToken      string
	ExpiresIn         int64 // seconds; of the access token
	NewDeviceMetadata deviceMetadata
}

// apiError is a response without a result.
type apiError struct {
	status  int
	code    string // Cognito's name of the error; "" if the response is not Cognito's
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// call makes one call, once: a password or a code is never resent. Empty strings
// in in are omitted. Errors are an *apiError, or the network's.
func (c *Client) call(ctx context.Context, name string, in map[string]any, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	maps.DeleteFunc(in, func(_ string, value any) bool { return value == "" })
	c.hide(secretsOf(in)...)
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.pool.origin()+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+name)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body) // bounded by the transport
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return readError(resp, text)
	}
	if out != nil && json.Unmarshal(text, out) != nil {
		return &apiError{status: resp.StatusCode}
	}
	return nil
}

// secretsOf returns everything in a request that is not known to be public: a
// server may echo it.
func secretsOf(in map[string]any) (all []secret.String) {
	add := func(key, value string) {
		switch key {
		case "AuthFlow", "ClientId", "ChallengeName", "USERNAME", "TIMESTAMP", "DeviceName", "DeviceRememberedStatus":
		default:
			all = append(all, secret.New(value))
		}
	}
	for key, value := range in {
		switch value := value.(type) {
		case string:
			add(key, value)
		case map[string]string:
			for key, value := range value {
				add(key, value)
			}
		}
	}
	return all
}

// readError reads an error. Its name may be in the body or in a header, between
// a namespace and a URL (AWS JSON 1.1, "Operation error serialization").
func readError(resp *http.Response, text []byte) *apiError {
	e := &apiError{status: resp.StatusCode}
	var body struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // Message too: Go matches either case
	}
	if len(text) > 0 && json.Unmarshal(text, &body) != nil {
		return e
	}
	e.message = body.Message
	for _, name := range []string{resp.Header.Get("X-Amzn-Errortype"), body.Type, body.Code, "UnknownError"} {
		name, _, _ = strings.Cut(name, ":")
		if e.code = name[strings.LastIndex(name, "#")+1:]; e.code != "" {
			break
		}
	}
	return e
}
