package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// response is a complete HTTP response.
type response struct {
	status int
	body   string
	kind   string      // content type; "" is JSON
	header http.Header // more headers
	lost   bool        // the connection breaks instead
}

// write sends the response. A client that disconnected does not matter.
func (p response) write(w http.ResponseWriter) {
	if p.lost {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", cmp.Or(p.kind, "application/json"))
	w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.body)
}

// gateway is a response of API Gateway itself, before the vendor's code.
func gateway(status int, message string) response {
	return response{status: status, body: toJSON(map[string]string{"message": message})}
}

// noRoute is API Gateway's response to an unknown route or method. Its words
// are about the Authorization header, which it takes for an AWS signature.
func noRoute(authorization string) response {
	if authorization == "" {
		return forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	sum := sha256.Sum256([]byte(authorization))
	return forbidden("IncompleteSignatureException", "Invalid key=value pair (missing equal-sign) in Authorization header "+
		"(hashed with SHA-256 and encoded with Base64): '"+base64.StdEncoding.EncodeToString(sum[:])+"'.")
}

// noRouteEchoed is the older form of noRoute. It repeats the token, which must
// not reach a log.
func noRouteEchoed(authorization string) response {
	return forbidden("IncompleteSignatureException",
		"'"+authorization+"' not a valid key=value pair (missing equal-sign) in Authorization header: '"+authorization+"'.")
}

func forbidden(errorType, message string) response {
	res := gateway(http.StatusForbidden, message)
	res.header = http.Header{"X-Amzn-Errortype": {errorType}}
	return res
}

// apiError is an error as the vendor's document shows it.
func apiError(status int, code, message string) response {
	body := map[string]any{"error": map[string]string{"code": code, "message": message}}
	return response{status: status, body: toJSON(body)}
}

// wrapped puts JSON into the vendor's other envelope.
func wrapped(status int, body string) string {
	return `{"statusCode":` + strconv.Itoa(status) + `,"body":` + body + `}`
}

// A responder sends an order in some unusual way.
type responder func(w http.ResponseWriter, r *http.Request, order string)

// respondWith sends a fixed response instead of the order.
func respondWith(p response) responder {
	return func(w http.ResponseWriter, _ *http.Request, _ string) { p.write(w) }
}

// silence sends nothing until the client gives up.
func silence(_ http.ResponseWriter, r *http.Request, _ string) {
	pause(r.Context(), silenceLimit)
	panic(http.ErrAbortHandler)
}

// half sends the headers and half of the body.
func half(w http.ResponseWriter, order string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(order)))
	_, _ = io.WriteString(w, order[:len(order)/2])
	_ = http.NewResponseController(w).Flush()
}

// cut breaks the connection in the middle of the body.
func cut(w http.ResponseWriter, _ *http.Request, order string) {
	half(w, order)
	panic(http.ErrAbortHandler)
}

// stall stops in the middle of the body.
func stall(w http.ResponseWriter, r *http.Request, order string) {
	half(w, order)
	pause(r.Context(), silenceLimit)
	panic(http.ErrAbortHandler)
}

// hugeSize is the length of a description that no client should read whole.
const hugeSize = 512 << 20

// flood sends the order with a description of hugeSize.
func flood(w http.ResponseWriter, _ *http.Request, order string) {
	head, tail, _ := strings.Cut(order, `"description":"`)
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, head+`"description":"`); err != nil {
		return
	}
	block := strings.Repeat("A", 64<<10)
	for range hugeSize / len(block) {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, tail)
}

// rewrap sends the order inside {"statusCode":200,"body":…}.
func rewrap(w http.ResponseWriter, _ *http.Request, order string) {
	response{status: http.StatusOK, body: wrapped(http.StatusOK, order)}.write(w)
}

// rewrapText sends the order as a JSON string inside that envelope.
func rewrapText(w http.ResponseWriter, _ *http.Request, order string) {
	response{status: http.StatusOK, body: wrapped(http.StatusOK, toJSON(order))}.write(w)
}
