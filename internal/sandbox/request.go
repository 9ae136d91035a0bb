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
	maxRequest = 64 << 10 // bytes; a payment request is some sixty
	maxOrderID = 128      // characters
	maxKey     = 255      // bytes of an idempotency key
)

// request is a payment request that was understood.
type request struct {
	orderID string
	source  string // qr or wechat
	key     string // idempotency key, "" where there is none
	print   string // fingerprint of the body, by which a repeat is told
}

// readRequest reads a payment request strictly, as the vendor's document has
// it, or says how it is refused.
func readRequest(w http.ResponseWriter, r *http.Request) (request, *reply) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
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
		return request{}, new(refusal(http.StatusBadRequest, "invalid_request", problem))
	}
	if req.key = r.Header.Get("Idempotency-Key"); len(req.key) > maxKey {
		return request{}, new(refusal(http.StatusBadRequest, "invalid_idempotency_key", "The idempotency key is too long."))
	}
	return req, nil
}

// decodeRequest reads the body {"orderid": string, "source": "qr"|"wechat"} and
// refuses everything else: the document names these two fields and no other.
// A problem is a text for the client, "" where there is none.
func decodeRequest(body []byte) (req request, problem string) {
	if !utf8.Valid(body) {
		return request{}, "The body is not UTF-8."
	}
	// Not a struct: encoding/json would take "OrderID" for "orderid".
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
	return request{orderID: orderID, source: source, print: hex.EncodeToString(sum[:])}, ""
}
