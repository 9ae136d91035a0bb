package cognito

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const (
	maxBody    = 64 << 10
	targetName = "AWSCognitoIdentityProviderService."
	jsonType   = "application/x-amz-json-1.1"
)

// input is the body of any call: each reads the members it knows.
type input struct {
	AuthFlow, ChallengeName, Session                         string
	ClientID, ClientSecret, RefreshToken, Token, AccessToken string
	AuthParameters, ChallengeResponses                       map[string]string
	DeviceKey, DeviceRememberedStatus                        string
	DeviceSecretVerifierConfig                               map[string]string
}

// decodeInput reads a call's body. Names are matched exactly, as AWS does and
// encoding/json alone does not; unknown ones are ignored, null is absent.
func decodeInput(body io.Reader) (input, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return input{}, fmt.Errorf("read call: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return input{}, fmt.Errorf("decode call: %w", err)
	}
	var in input
	for name, target := range map[string]any{
		"AuthFlow": &in.AuthFlow, "ChallengeName": &in.ChallengeName, "Session": &in.Session,
		"ClientId": &in.ClientID, "ClientSecret": &in.ClientSecret, "RefreshToken": &in.RefreshToken,
		"Token": &in.Token, "AccessToken": &in.AccessToken,
		"AuthParameters": &in.AuthParameters, "ChallengeResponses": &in.ChallengeResponses,
		"DeviceKey": &in.DeviceKey, "DeviceRememberedStatus": &in.DeviceRememberedStatus,
		"DeviceSecretVerifierConfig": &in.DeviceSecretVerifierConfig,
	} {
		if raw, ok := members[name]; ok {
			if err := json.Unmarshal(raw, target); err != nil {
				return input{}, fmt.Errorf("decode %s: %w", name, err)
			}
		}
	}
	return in, nil
}

// apiError is an error as the service names it: Status, __type and message.
type apiError struct {
	status        int
	kind, message string
}

func (e apiError) Error() string { return e.kind + ": " + e.message }

// apiErr is nearly every error: it has status 400.
func apiErr(kind, message string) error {
	return apiError{http.StatusBadRequest, kind, message}
}

func notAuthorized(message string) error {
	return apiErr("NotAuthorizedException", message)
}

func invalidParameter(message string) error {
	return apiErr("InvalidParameterException", message)
}

func missingMember(name string) error {
	return invalidParameter("1 validation error detected: Value null at '" + name +
		"' failed to satisfy constraint: Member must not be null")
}

func missingParameter(name string) error {
	return invalidParameter("Missing required parameter " + name)
}

// serveCall answers one call of the Cognito API.
func (p *Pool) serveCall(w http.ResponseWriter, r *http.Request) {
	out, err := p.call(r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, jsonType, out)
}

func (p *Pool) call(r *http.Request) (any, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetName)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	operation := p.operation(name)
	if !ok || err != nil || kind != jsonType || operation == nil {
		return nil, apiErr("UnknownOperationException", "")
	}
	in, err := decodeInput(r.Body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request is too large"}
	}
	if err != nil {
		return nil, apiErr("SerializationException", "Unable to parse the request")
	}
	return operation(p.base(r), in)
}

// operation finds a call by its name; nil if the pool does not offer it.
func (p *Pool) operation(name string) func(base string, in input) (any, error) {
	switch name {
	case "InitiateAuth":
		return p.initiateAuth
	case "RespondToAuthChallenge":
		return p.respondToAuthChallenge
	case "GetTokensFromRefreshToken":
		return p.getTokensFromRefreshToken
	case "RevokeToken":
		return p.revokeToken
	case "GlobalSignOut":
		return p.globalSignOut
	case "ConfirmDevice":
		return p.confirmDevice
	case "UpdateDeviceStatus":
		return p.updateDeviceStatus
	case "GetUser":
		return p.getUser
	}
	return nil
}

func writeError(w http.ResponseWriter, err error) {
	var e apiError
	if !errors.As(err, &e) {
		e = apiError{http.StatusInternalServerError, "InternalErrorException", err.Error()}
	}
	w.Header().Set("X-Amzn-ErrorType", e.kind+":")
	w.Header().Set("X-Amzn-ErrorMessage", e.message)
	writeJSON(w, e.status, jsonType, struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{e.kind, e.message})
}

func writeJSON(w http.ResponseWriter, status int, kind string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Amzn-RequestId", uuid.NewString())
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
}

// allowBrowsers answers the question a browser asks before a call.
func allowBrowsers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "172800")
}
