package sandbox

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// reply is a whole answer.
type reply struct {
	status int
	body   string
	kind   string      // content type; "" is JSON
	header http.Header // beside the usual ones
}

// write sends the answer. A client that has gone away is no concern of ours.
func (p reply) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", cmp.Or(p.kind, "application/json"))
	w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.body)
}

// gateway is an answer of API Gateway itself: it never reached the vendor's code.
func gateway(status int, message string) reply {
	return reply{status: status, body: text(struct {
		Message string `json:"message"`
	}{message})}
}

// noRoute is what API Gateway says, despite its words, of a route or method
// that it does not know.
func noRoute() reply { return gateway(http.StatusForbidden, "Missing Authentication Token") }

// echoed is what API Gateway says of an Authorization header that it takes for
// a signature: it repeats the token, which must not get into a log.
func echoed(authorization string) reply {
	return gateway(http.StatusForbidden,
		"'"+authorization+"' not a valid key=value pair (missing equal-sign) in Authorization header: '"+authorization+"'.")
}

// refusal is an error in the form of the vendor's document.
func refusal(status int, code, message string) reply {
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = code, message
	return reply{status: status, body: text(body)}
}

// wrapped puts a body, JSON or a string, into the vendor's other envelope.
func wrapped(status int, body string) string {
	return `{"statusCode":` + strconv.Itoa(status) + `,"body":` + body + `}`
}

// An answerer gives an order that was made in some other way than plainly.
type answerer func(w http.ResponseWriter, r *http.Request, order string)

// instead gives a fixed answer: the client does not learn that the order was made.
func instead(p reply) answerer {
	return func(w http.ResponseWriter, _ *http.Request, _ string) { p.write(w) }
}

// lose breaks the connection before the first byte of the answer.
func lose(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }

// silence says nothing until the client gives up.
func silence(_ http.ResponseWriter, r *http.Request, _ string) {
	pause(r.Context(), patience)
	panic(http.ErrAbortHandler)
}

// half sends the head and half of the body.
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

// stall says nothing more in the middle of the body.
func stall(w http.ResponseWriter, r *http.Request, order string) {
	half(w, order)
	pause(r.Context(), patience)
	panic(http.ErrAbortHandler)
}

// hugeAnswer is the size of a description that no client should read to its end.
const hugeAnswer = 512 << 20

// flood sends the order with a description of half a gibibyte.
func flood(w http.ResponseWriter, _ *http.Request, order string) {
	head, tail, _ := strings.Cut(order, `"description":"`)
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, head+`"description":"`); err != nil {
		return
	}
	block := strings.Repeat("A", 64<<10)
	for range hugeAnswer / len(block) {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, tail)
}

// rewrap sends the order inside {"statusCode":200,"body":…}.
func rewrap(w http.ResponseWriter, _ *http.Request, order string) {
	reply{status: http.StatusOK, body: wrapped(http.StatusOK, order)}.write(w)
}

// rewrapText sends the order as a JSON string inside that envelope.
func rewrapText(w http.ResponseWriter, _ *http.Request, order string) {
	reply{status: http.StatusOK, body: wrapped(http.StatusOK, text(order))}.write(w)
}
