package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Magic is an order ID that gives a certain outcome.
type Magic struct {
	ID      string // refused-amount; refused-amount.7 does the same
	Outcome string // what happens, for people
}

// MagicIDs lists the order IDs that give a certain outcome, for help and
// completion. Whatever follows a dot is free (lost-once.1, lost-once.2), so that
// there is no end of fresh ones. Any other order ID is paid for as it should be.
func MagicIDs() []Magic {
	var ids []Magic
	for _, out := range outcomes() {
		ids = append(ids, Magic{out.id, out.says})
	}
	return ids
}

// outcome is what a magic ID, or a random fault, makes of a payment.
type outcome struct {
	id, says string

	times  int           // refuse and answer concern this many POSTs of an order ID; 0: all
	refuse *reply        // nothing is made, this is the answer
	echo   bool          // that answer repeats the Authorization header
	answer answerer      // the order is made, and answered like this
	wait   time.Duration // before the order is made
	shape  shaper        // how the order differs from an everyday one

	charge string // transaction_state of a charge that comes with the order
	paidAt int    // the order is paid by this checkstatus call
	check  *reply // what checkstatus says, whatever is true
}

// shaper changes an order that costs so much.
type shaper func(o *order, cost satang)

// applies tells whether the outcome concerns the n-th POST of its order ID.
func (o outcome) applies(n int) bool { return o.times == 0 || n <= o.times }

// outcomeOf finds what an order ID gives; the zero outcome is the everyday one.
func outcomeOf(orderID string) outcome {
	id, _, _ := strings.Cut(orderID, ".")
	for _, out := range outcomes() {
		if out.id == id {
			return out
		}
	}
	return outcome{}
}

func outcomes() []outcome {
	return slices.Concat(refusals(), passing(), lostAnswers(), wrongAnswers(), oddOrders(), oddTypes(), codes(), charges())
}

// refusals make nothing, whenever they are asked.
func refusals() []outcome {
	forbidden := gateway(http.StatusForbidden, "User is not authorized to access this resource")
	return []outcome{
		{id: "refused-amount", says: "400 invalid_amount", refuse: new(invalidAmount())},
		{id: "not-found", says: "404, no such order", refuse: new(refusal(404, "order_not_found", "Order not found."))},
		{id: "unauthorized", says: "401 Unauthorized", refuse: new(gateway(401, "Unauthorized"))},
		{id: "expired-token-always", says: "401, the token has expired, however fresh it is", refuse: new(gateway(401, expiredToken))},
		{id: "forbidden", says: "403, signed in but not allowed", refuse: &forbidden},
		{id: "echoed-token", says: "403 whose message repeats the token", refuse: &forbidden, echo: true},
		{id: "no-route", says: "403 Missing Authentication Token: no such route", refuse: new(noRoute())},
		{id: "throttled-always", says: "429, always", refuse: new(gateway(429, "Limit Exceeded"))},
		{id: "server-error", says: "500, always", refuse: new(refusal(500, "internal_error", "Internal server error."))},
		{id: "unavailable-always", says: "503, always", refuse: new(unavailable())},
		{id: "hostile-error", says: "400 with terminal escapes in code and message", refuse: new(refusal(400, "bad\x1b[31m", hostile))},
		{id: "wrapped-error", says: "200 that holds a 400 in its statusCode", refuse: &reply{status: 200, body: wrapped(400, wrappedError)}},
		{id: "wrapped-error-text", says: "the same, its body a JSON string", refuse: &reply{status: 200, body: wrapped(400, text(wrappedError))}},
	}
}

// passing refuse at first and then do what was asked.
func passing() []outcome {
	wait := gateway(429, "Too Many Requests")
	wait.header = http.Header{"Retry-After": {"1"}}
	return []outcome{
		{id: "expired-token", says: "401 once, the token has expired; then fine", times: 1, refuse: new(gateway(401, expiredToken))},
		{id: "throttled", says: "429 once, then fine", times: 1, refuse: new(gateway(429, "Too Many Requests"))},
		{id: "throttled-wait", says: "429 once with Retry-After: 1, then fine", times: 1, refuse: &wait},
		{id: "conflict", says: "409 once, then fine", times: 1, refuse: new(stillRunning())},
		{id: "unavailable", says: "503 three times, then fine", times: 3, refuse: new(unavailable())},
	}
}

// lostAnswers make the order; the client does not hear of it.
func lostAnswers() []outcome {
	timedOut := instead(gateway(504, "Endpoint request timed out"))
	return []outcome{
		{id: "lost-once", says: "made, but the first answer is lost", times: 1, answer: lose},
		{id: "lost-always", says: "made, but every answer is lost", answer: lose},
		{id: "cut-once", says: "made, but the first answer is cut short", times: 1, answer: cut},
		{id: "cut-short", says: "made, but every answer is cut short", answer: cut},
		{id: "timed-out-once", says: "made, but the first answer is a 504", times: 1, answer: timedOut},
		{id: "timed-out", says: "made, but every answer is a 504", answer: timedOut},
		{id: "slow", says: "made after three seconds", wait: 3 * time.Second},
		{id: "silent", says: "made, then silence", answer: silence},
		{id: "stalled", says: "made, then silence in the middle of the answer", answer: stall},
	}
}

// wrongAnswers are whole, and not an order.
func wrongAnswers() []outcome {
	html := reply{status: 200, kind: "text/html; charset=utf-8", body: htmlPage}
	badGateway := html
	badGateway.status = 502
	elsewhere := reply{status: 307, header: http.Header{"Location": {"https://elsewhere.invalid/qrpayment"}}}
	return []outcome{
		{id: "html-502", says: "502 with a web page", refuse: &badGateway},
		{id: "html-200", says: "200 with a web page, as from a hotel's network", refuse: &html},
		{id: "empty", says: "200 with no body", answer: instead(reply{status: 200})},
		{id: "redirect", says: "307 to another host", refuse: &elsewhere},
		{id: "huge", says: "made, and answered with 512 MiB", answer: flood},
	}
}

// oddOrders are orders that a client should look at twice.
func oddOrders() []outcome {
	return []outcome{
		{id: "failed-order", says: "made, but the bank failed it (failure_code)", shape: func(o *order, _ satang) {
			o.Status, o.FailureCode, o.FailureMessage = "fail", "payment_rejected", "The bank rejected the order."
		}},
		{id: "short-expiry", says: "expires after three seconds", shape: func(o *order, _ satang) { o.ExpireSeconds = 3 }},
		{id: "no-expiry", says: "does not say when it expires", shape: func(o *order, _ satang) { o.ExpireSeconds = nil }},
		{id: "live", says: "livemode is true", shape: func(o *order, _ satang) {
			o.Livemode, o.ID = true, strings.Replace(o.ID, "_test_", "_prod_", 1)
		}},
		{id: "other-source", says: "source_type is not the source asked for", shape: func(o *order, _ satang) {
			o.SourceType = map[string]string{"qr": "wechat", "wechat": "qr"}[o.SourceType]
		}},
		{id: "hostile-text", says: "terminal escapes in the description", shape: func(o *order, _ satang) { o.Description = hostile }},
		{id: "thai", says: "a description in Thai", shape: func(o *order, _ satang) {
			o.Description = "คำสั่งซื้อน้ำปลา ๒ ขวด จำนวน ๓๐๐ บาท"
		}},
		{id: "extra-fields", says: "fields that the document does not name", shape: func(o *order, _ satang) {
			o.Fee = json.Number("1.10")
			o.Bank = map[string]any{"trace": json.Number("12345678901234567890"), "note": "<&>"}
		}},
	}
}

// oddTypes send what the document says in another type or another envelope.
func oddTypes() []outcome {
	return []outcome{
		{id: "text-amount", says: "the amount is a string", shape: func(o *order, cost satang) {
			o.Amount = cost.fixed()
		}},
		{id: "text-livemode", says: `livemode is the string "false"`, shape: func(o *order, _ satang) { o.Livemode = "false" }},
		{id: "loose-types", says: `expiry as a string, created without milliseconds, "" and [] for null`, shape: func(o *order, _ satang) {
			o.ExpireSeconds, o.Created, o.Metadata = "3600", o.Created[:14], []string{}
			o.FailureCode, o.FailureMessage = "", ""
		}},
		{id: "wrapped", says: "inside a statusCode and body envelope", answer: rewrap},
		{id: "wrapped-text", says: "the same, the body a JSON string", answer: rewrapText},
	}
}

// codes are answers that hold something to draw, in qr_payload.
func codes() []outcome {
	return []outcome{
		{id: "emvco", says: "qr_payload holds a payment code of no real biller", shape: func(o *order, cost satang) {
			o.QRPayload = emvco(cost)
		}},
		{id: "emvco-bad-crc", says: "the same with a wrong checksum", shape: func(o *order, cost satang) {
			code := unsealed(cost)
			o.QRPayload = code + crc16(code+"spoilt")
		}},
		{id: "emvco-bad-amount", says: "the same for one baht more than the order", shape: func(o *order, cost satang) {
			o.QRPayload = emvco(cost + 100)
		}},
		{id: "wechat-url", says: "qr_payload holds a WeChat payment URL of nobody", shape: func(o *order, _ satang) {
			o.QRPayload = "weixin://wxpay/bizpayurl?pr=sandbox" + o.ID[len(o.ID)-7:]
		}},
	}
}

// charges say what becomes of the order once it is made.
func charges() []outcome {
	return []outcome{
		{id: "paid", says: "paid as soon as it is made", charge: "Authorized"},
		{id: "paid-third-check", says: "paid at the third checkstatus", paidAt: 3},
		{id: "declined", says: "declined as soon as it is made", charge: "Declined"},
		{id: "unknown-state", says: "checkstatus gives a transaction_state nobody knows", charge: "Under Review"},
		{id: "bare-success", says: `checkstatus says {"status":"success"} and no more`, check: &reply{status: 200, body: `{"status":"success"}`}},
		{id: "check-no-route", says: "checkstatus is missing: 403 Missing Authentication Token", check: new(noRoute())},
		{id: "check-unavailable", says: "checkstatus is 503, always", check: new(unavailable())},
	}
}

func invalidAmount() reply { return refusal(400, "invalid_amount", "Invalid payment amount.") }

func unavailable() reply { return gateway(503, "Service Unavailable") }

func stillRunning() reply {
	return refusal(409, "idempotency_conflict", "A request with this idempotency key is still running.")
}

func keyReused() reply {
	return refusal(422, "idempotency_key_reused", "This idempotency key was used with another request.")
}

const (
	expiredToken = "The incoming token has expired"
	wrappedError = `{"error":"Invalid payment amount.","code":"INVALID_AMOUNT","details":{}}`
	htmlPage     = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"

	// hostile holds what must never reach a terminal as it is: colours and a
	// cleared screen, a window title, a hyperlink, carriage return and
	// backspaces that overwrite, C1 controls, bidi overrides and isolates,
	// zero-width and tag characters, line separators.
	hostile = "Order \x1b[2J\x1b[31mPAID\x1b[0m \x1b]0;owned\a \x1b]8;;https://elsewhere.invalid\x1b\\link\x1b]8;;\x1b\\" +
		" 1.00\r9.99\b\b\x00\x7f \u009b2J\u0085\u0090x\u009c \u202e00.003\u202c \u2066x\u2069 a\u200bb\ufeff\U000e0041 \u2028\u2029\tend"
)
