package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxRequest = 64 << 10 // bytes; a payment request has about 60
	maxOrderID = 128      // characters
	maxKey     = 255      // bytes of an idempotency key
)

// request is a valid payment request.
type request struct {
	orderID string
	source  string // qr or wechat
	key     string // idempotency key, or ""

	bodyHash string // a repeat with the same key has the same
}

// readRequest reads a payment request exactly as the vendor's document has it,
// or returns the response that rejects it.
func readRequest(w http.ResponseWriter, r *http.Request) (request, *response) {
	if !isJSON(r) {
		return request{}, new(gateway(http.StatusUnsupportedMediaType, "Unsupported Media Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return request{}, new(gateway(http.StatusRequestEntityTooLarge, "Request Too Long"))
	} else if err != nil {
		return request{}, new(gateway(http.StatusBadRequest, "Bad Request"))
	}
	req, problem := decodeRequest(body)
	if problem != "" {
		return request{}, new(apiError(http.StatusBadRequest, "invalid_request", problem))
	}
	if req.key = r.Header.Get("Idempotency-Key"); len(req.key) > maxKey {
		return request{}, new(apiError(http.StatusBadRequest, "invalid_idempotency_key", "The idempotency key is too long."))
	}
	return req, nil
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// decodeRequest accepts the body {"orderid": string, "source": "qr"|"wechat"}
// and nothing else: the document has no other fields. The problem is a text for
// the client, "" if there is none.
func decodeRequest(body []byte) (req request, problem string) {
	if !utf8.Valid(body) {
		return request{}, "The body is not UTF-8."
	}
	// Not a struct: encoding/json would accept "OrderID" for "orderid".
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return request{}, "The body is not a JSON object."
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return request{}, "Something follows the JSON object."
	}
	for name := range fields {
		if name != "orderid" && name != "source" {
			return request{}, fmt.Sprintf("Unknown field %q.", name)
		}
	}
	orderID, _ := fields["orderid"].(string)
	if orderID == "" || utf8.RuneCountInString(orderID) > maxOrderID ||
		strings.ContainsFunc(orderID, func(c rune) bool { return c == '/' || !unicode.IsPrint(c) }) {
		return request{}, "orderid must be the ID of an order, a string."
	}
	source, _ := fields["source"].(string)
	if source != "qr" && source != "wechat" {
		return request{}, `source must be "qr" or "wechat".`
	}
	sum := sha256.Sum256(body)
	return request{orderID: orderID, source: source, bodyHash: hex.EncodeToString(sum[:])}, ""
}
