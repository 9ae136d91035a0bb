package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
)

// The user pool's own API, AWS JSON 1.1: five calls, none of them signed. AWS's
// SDK makes them as well, but would be a twentieth of the whole binary and be felt
// whenever villapay starts. That SDK proves the sandbox's pool instead, and the
// pool proves these calls (package cognito).

// answer is what InitiateAuth, RespondToAuthChallenge and
// GetTokensFromRefreshToken say.
type answer struct {
	ChallengeName        string
	ChallengeParameters  map[string]string
	Session              string
	AuthenticationResult *result
}

// result holds the tokens that a sign-in ends with.
type result struct {
	IDToken           string `json:"IdToken"`
	AccessToken       string
	RefreshToken      string
	ExpiresIn         int64 // seconds
	NewDeviceMetadata struct{ DeviceKey string }
}

// refusal is an answer that brings no result.
type refusal struct {
	status  int
	code    string // Cognito's name of the error; "" where it is not Cognito that answers
	message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// call makes one call, once: a password or a code is never sent again by itself.
// Values of in that are "" are left out. Errors are a *refusal, or the network's.
func (c *Client) call(ctx context.Context, name string, in map[string]any, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	maps.DeleteFunc(in, func(_ string, value any) bool { return value == "" })
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
	text, err := io.ReadAll(resp.Body) // bounded by watch
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return readRefusal(resp, text)
	}
	if out != nil && json.Unmarshal(text, out) != nil {
		return &refusal{status: resp.StatusCode}
	}
	return nil
}

// readRefusal reads an error. Its name may stand in the body or in a header, between
// a namespace and a URL (AWS JSON 1.1, "Operation error serialization").
func readRefusal(resp *http.Response, text []byte) *refusal {
	r := &refusal{status: resp.StatusCode}
	var body struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // Message too: Go matches either case
	}
	if len(text) > 0 && json.Unmarshal(text, &body) != nil {
		return r
	}
	r.message = body.Message
	for _, name := range []string{resp.Header.Get("X-Amzn-Errortype"), body.Type, body.Code, "UnknownError"} {
		name, _, _ = strings.Cut(name, ":")
		if r.code = name[strings.LastIndex(name, "#")+1:]; r.code != "" {
			break
		}
	}
	return r
}
