package sandbox

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Magic is an order ID with a fixed outcome.
type Magic struct {
	ID      string // refused-amount; refused-amount.7 does the same
	Outcome string // for help texts
}

// MagicIDs lists the order IDs with a fixed outcome, for help and completion.
// Any text may follow after a dot (lost-once.1, lost-once.2), so there are
// always fresh ones. Every other order ID makes an ordinary order.
func MagicIDs() []Magic {
	var ids []Magic
	for _, out := range outcomes("") {
		ids = append(ids, Magic{out.id, out.effect})
	}
	return ids
}

// outcome is what a magic ID, or a random fault, does to a payment.
type outcome struct {
	id, effect string

	times   int                  // reject and respond apply to this many POSTs of an order ID; 0: all
	reject  *response            // no order is made; this is the response
	respond responder            // the order is made; this is how the response is sent
	wait    time.Duration        // before the order is made
	shape   func(*order, satang) // changes the order

	charge string    // transaction_state of a charge that is made with the order
	paidAt int       // this checkstatus call pays the order
	check  *response // the response of checkstatus, whatever happened

	bankDown    int                        // the bank is down for this many calls
	rejectCode  *response                  // no code is made; this is the response
	shapeCode   func(*paymentCode, satang) // changes the code
	payTwice    bool                       // every payment makes another charge
	payOnCancel bool                       // a cancellation finds the code paid
	loseCancel  bool                       // the code is canceled, the response lost
	rejectVoid  *response                  // no charge is voided; this is the response
	loseVoid    bool                       // the charge is voided, the response lost
}

// applies reports whether the outcome applies to the n-th POST of its order ID.
func (o outcome) applies(n int) bool { return o.times == 0 || n <= o.times }

// outcomeOf returns the outcome of an order ID for a request with that
// Authorization header; ordinary IDs have the zero outcome.
func outcomeOf(orderID, authorization string) outcome {
	id, _, _ := strings.Cut(orderID, ".")
	for _, out := range outcomes(authorization) {
		if out.id == id {
			return out
		}
	}
	return outcome{}
}

func outcomes(authorization string) []outcome {
	return slices.Concat(rejections(authorization), transient(), lostAnswers(), wrongAnswers(), oddOrders(), oddTypes(),
		payloads(), charges(authorization), bankOutcomes())
}

// rejections never make an order.
func rejections(authorization string) []outcome {
	return []outcome{
		{id: "refused-amount", effect: "400 invalid_amount", reject: new(invalidAmount())},
		{id: "not-found", effect: "404, no such order", reject: new(apiError(404, "order_not_found", "Order not found."))},
		{id: "unauthorized", effect: "401 Unauthorized", reject: new(gateway(401, "Unauthorized"))},
		{id: "expired-token-always", effect: "401, the token has expired, always", reject: new(gateway(401, expiredToken))},
		{id: "forbidden", effect: "403, signed in but not allowed", reject: new(gateway(403, "User is not authorized to access this resource"))},
		{id: "echoed-token", effect: "403 whose message repeats the token", reject: new(noRouteEchoed(authorization))},
		{id: "no-route", effect: "403, no such route", reject: new(noRoute(authorization))},
		{id: "throttled-always", effect: "429, always", reject: new(gateway(429, "Limit Exceeded"))},
		{id: "server-error", effect: "500, always", reject: new(apiError(500, "internal_error", "Internal server error."))},
		{id: "unavailable-always", effect: "503, always", reject: new(unavailable())},
		{id: "hostile-error", effect: "400 with terminal escapes in code and message", reject: new(apiError(400, "bad\x1b[31m", hostile))},
		{id: "wrapped-error", effect: "200 that holds a 400 in its statusCode", reject: &response{status: 200, body: wrapped(400, wrappedError)}},
		{id: "wrapped-error-text", effect: "the same, its body a JSON string", reject: &response{status: 200, body: wrapped(400, toJSON(wrappedError))}},
	}
}

// transient outcomes reject the first requests, then make the order.
func transient() []outcome {
	wait := gateway(429, "Too Many Requests")
	wait.header = http.Header{"Retry-After": {"1"}}
	return []outcome{
		{id: "expired-token", effect: "401 once, the token has expired; then fine", times: 1, reject: new(gateway(401, expiredToken))},
		{id: "throttled", effect: "429 once, then fine", times: 1, reject: new(gateway(429, "Too Many Requests"))},
		{id: "throttled-wait", effect: "429 once with Retry-After: 1, then fine", times: 1, reject: &wait},
		{id: "conflict", effect: "409 once, then fine", times: 1, reject: new(stillRunning())},
		{id: "unavailable", effect: "503 three times, then fine", times: 3, reject: new(unavailable())},
	}
}

// lostAnswers make the order, but the client cannot know.
func lostAnswers() []outcome {
	lose := respondWith(response{lost: true})
	timedOut := respondWith(gateway(504, "Endpoint request timed out"))
	return []outcome{
		{id: "lost-once", effect: "made, but the first answer is lost", times: 1, respond: lose},
		{id: "lost-always", effect: "made, but every answer is lost", respond: lose},
		{id: "cut-once", effect: "made, but the first answer is cut short", times: 1, respond: cut},
		{id: "cut-short", effect: "made, but every answer is cut short", respond: cut},
		{id: "timed-out-once", effect: "made, but the first answer is a 504", times: 1, respond: timedOut},
		{id: "timed-out", effect: "made, but every answer is a 504", respond: timedOut},
		{id: "slow", effect: "made after three seconds", wait: 3 * time.Second},
		{id: "silent", effect: "made, then no answer", respond: silence},
		{id: "stalled", effect: "made, then no more than half the answer", respond: stall},
	}
}

// wrongAnswers are complete answers that are not an order.
func wrongAnswers() []outcome {
	html := response{status: 200, kind: "text/html; charset=utf-8", body: htmlPage}
	badGateway := html
	badGateway.status = 502
	elsewhere := response{status: 307, header: http.Header{"Location": {"https://elsewhere.invalid/qrpayment"}}}
	return []outcome{
		{id: "html-502", effect: "502 with a web page", reject: &badGateway},
		{id: "html-200", effect: "200 with a web page, as from a hotel's network", reject: &html},
		{id: "empty", effect: "200 with no body", respond: respondWith(response{status: 200})},
		{id: "redirect", effect: "307 to another host", reject: &elsewhere},
		{id: "huge", effect: "made, and answered with 512 MiB", respond: flood},
	}
}

// oddOrders are orders that a client must not take for ordinary ones.
func oddOrders() []outcome {
	return []outcome{
		{id: "failed-order", effect: "made, but the bank failed it (failure_code)", shape: func(o *order, _ satang) {
			o.Status, o.FailureCode, o.FailureMessage = "fail", "payment_rejected", "The bank rejected the order."
		}},
		{id: "short-expiry", effect: "expires after three seconds", shape: func(o *order, _ satang) { o.ExpireSeconds = 3 }},
		{id: "no-expiry", effect: "has no expiry", shape: func(o *order, _ satang) { o.ExpireSeconds = nil }},
		{id: "live", effect: "livemode is true", shape: func(o *order, _ satang) {
			o.Livemode, o.ID = true, strings.Replace(o.ID, "_test_", "_prod_", 1)
		}},
		{id: "other-source", effect: "source_type is not the source asked for", shape: func(o *order, _ satang) {
			o.SourceType = map[string]string{"qr": "wechat", "wechat": "qr"}[o.SourceType]
		}},
		{id: "hostile-text", effect: "terminal escapes in the description", shape: func(o *order, _ satang) { o.Description = hostile }},
		{id: "thai", effect: "a description in Thai", shape: func(o *order, _ satang) {
			o.Description = "คำสั่งซื้อน้ำปลา ๒ ขวด จำนวน ๓๐๐ บาท"
		}},
		{id: "extra-fields", effect: "fields that the document does not name", shape: func(o *order, _ satang) {
			o.Fee = json.Number("1.10")
			o.Bank = map[string]any{"trace": json.Number("12345678901234567890"), "note": "<&>"}
		}},
	}
}

// oddTypes send the documented fields with other types or in an envelope.
func oddTypes() []outcome {
	return []outcome{
		{id: "text-amount", effect: "the amount is a string", shape: func(o *order, amount satang) {
			o.Amount = amount.fixed()
		}},
		{id: "text-livemode", effect: `livemode is the string "false"`, shape: func(o *order, _ satang) { o.Livemode = "false" }},
		{id: "loose-types", effect: `expiry as a string, created without milliseconds, "" and [] for null`, shape: func(o *order, _ satang) {
			o.ExpireSeconds, o.Created, o.Metadata = "3600", o.Created[:14], []string{}
			o.FailureCode, o.FailureMessage = "", ""
		}},
		{id: "wrapped", effect: "inside a statusCode and body envelope", respond: rewrap},
		{id: "wrapped-text", effect: "the same, the body a JSON string", respond: rewrapText},
	}
}

// payloads are orders with a payment code of their own, in qr_payload.
func payloads() []outcome {
	return []outcome{
		{id: "emvco", effect: "qr_payload holds a payment code of no real biller", shape: func(o *order, amount satang) {
			o.QRPayload = emvco(amount, "SANDBOX")
		}},
		{id: "emvco-bad-crc", effect: "the same with a wrong checksum", shape: func(o *order, amount satang) {
			code := emvcoBody(amount, "SANDBOX")
			o.QRPayload = code + crc16(code+"wrong")
		}},
		{id: "emvco-bad-amount", effect: "the same for one baht more than the order", shape: func(o *order, amount satang) {
			o.QRPayload = emvco(amount+100, "SANDBOX")
		}},
		{id: "wechat-url", effect: "qr_payload holds a WeChat payment URL that pays nobody", shape: func(o *order, _ satang) {
			o.QRPayload = weChatURL(o.ID[len(o.ID)-20:])
		}},
	}
}

// charges decide what happens to the order after it is made.
func charges(authorization string) []outcome {
	return []outcome{
		{id: "paid", effect: "paid as soon as it is made", charge: "Authorized"},
		{id: "paid-third-check", effect: "paid at the third checkstatus", paidAt: 3},
		{id: "declined", effect: "declined as soon as it is made", charge: "Declined"},
		{id: "unknown-state", effect: "checkstatus gives an unknown transaction_state", charge: "Under Review"},
		{id: "bare-success", effect: `checkstatus answers only {"status":"success"}`, check: &response{status: 200, body: `{"status":"success"}`}},
		{id: "check-no-route", effect: "checkstatus is missing: 403, no such route", check: new(noRoute(authorization))},
		{id: "check-unavailable", effect: "checkstatus is 503, always", check: new(unavailable())},
	}
}

// bankOutcomes concern the bank's API.
func bankOutcomes() []outcome {
	return []outcome{
		{id: "bank-down-once", effect: "the bank answers 503 once, then fine", bankDown: 1},
		{id: "bank-down-always", effect: "the bank answers 503, always", bankDown: math.MaxInt},
		{id: "code-rejected", effect: "the bank makes no code: 400", rejectCode: new(bankError(400, "invalid_merchant", "The merchant cannot use this method."))},
		{id: "code-no-text", effect: "the bank's code has no paint_text", shapeCode: func(c *paymentCode, _ satang) { c.PaintText = "" }},
		{id: "code-bad-amount", effect: "the bank's code is for one baht more than the order", shapeCode: func(c *paymentCode, amount satang) {
			c.PaintText = c.text("ThaiQR", amount+100)
		}},
		{id: "code-short", effect: "the bank's code lives five seconds", shapeCode: func(c *paymentCode, _ satang) { c.ExpireSeconds = 5 }},
		{id: "code-other-order", effect: "the bank's code names another order", shapeCode: func(c *paymentCode, _ satang) {
			c.OrderID = c.OrderID[:len(c.OrderID)-32] + randomHex()
		}},
		{id: "paid-twice", effect: "every `sandbox pay` is another payment", payTwice: true},
		{id: "cancel-paid", effect: "the bank cancels no code: it was paid meanwhile", payOnCancel: true},
		{id: "cancel-lost", effect: "the bank cancels the code, but the answer is lost", loseCancel: true},
		{id: "void-rejected", effect: "the bank voids no charge: 400", rejectVoid: new(bankError(400, "void_not_allowed", "The charge cannot be voided any more."))},
		{id: "void-lost", effect: "the bank voids the charge, but the answer is lost", loseVoid: true},
	}
}

func invalidAmount() response { return apiError(400, "invalid_amount", "Invalid payment amount.") }

func unavailable() response { return gateway(503, "Service Unavailable") }

func stillRunning() response {
	return apiError(409, "idempotency_conflict", "A request with this idempotency key is still running.")
}

func keyReused() response {
	return apiError(422, "idempotency_key_reused", "This idempotency key was used with another request.")
}

const (
	expiredToken = "The incoming token has expired"
	wrappedError = `{"error":"Invalid payment amount.","code":"INVALID_AMOUNT","details":{}}`
	htmlPage     = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"

	// hostile holds what must never reach a terminal unchanged: colors and a
	// cleared screen, a window title, a hyperlink, carriage return and
	// backspaces that overwrite, C1 controls, bidi overrides and isolates,
	// zero-width and tag characters, line separators.
	hostile = "Order \x1b[2J\x1b[31mPAID\x1b[0m \x1b]0;owned\a \x1b]8;;https://elsewhere.invalid\x1b\\link\x1b]8;;\x1b\\" +
		" 1.00\r9.99\b\b\x00\x7f \u009b2J\u0085\u0090x\u009c \u202e00.003\u202c \u2066x\u2069 a\u200bb\ufeff\U000e0041 \u2028\u2029\tend"
)
