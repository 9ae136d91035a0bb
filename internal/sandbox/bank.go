package sandbox

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"rsc.io/qr"
)

// BankPath is the path below which the bank's merchant API is served: its base
// URL, kbank.api_url, is the sandbox's address followed by BankPath.
const BankPath = "/bank"

// BankKey is a secret key of the sandbox's merchant, for Options.BankKey.
const BankKey = "skey_test_" + merchant + "sandbox"

// codeLife is how many seconds a payment code can be paid.
const codeLife = 600

// States of a payment code. An open one ends by itself after its life.
const (
	codeOpen     = "open"
	codeCanceled = "canceled"
	codeUsed     = "used"
)

// paymentCode is the bank's answer about a code. The fields that are omitted if
// empty are missing from the answer to a cancellation.
type paymentCode struct {
	ID             string      `json:"id"`
	Object         string      `json:"object"` // always qr
	OrderID        string      `json:"order_id,omitempty"`
	AccountName    string      `json:"account_name,omitempty"`
	PaintText      string      `json:"paint_text,omitempty"` // what the code holds
	Image          string      `json:"image_with_base64,omitempty"`
	SofSupport     []sofOption `json:"sof_support,omitempty"`
	Status         string      `json:"status"`
	Created        string      `json:"created"`
	Livemode       bool        `json:"livemode"`
	FailureCode    *string     `json:"failure_code"`
	FailureMessage *string     `json:"failure_message"`
	ExpireSeconds  int         `json:"expire_time_seconds,omitempty"`
}

// sofOption is a source of funds that an order can be paid from.
type sofOption struct {
	Code    string `json:"code"`
	Desc    string `json:"desc"`
	IconURL string `json:"icon_url"`
}

// codeRequest is the body of POST /qr/v2/qr.
type codeRequest struct {
	OrderID        string `json:"order_id"`
	Amount         any    `json:"amount"`
	Currency       string `json:"currency"`
	Description    string `json:"description"`
	Sof            string `json:"sof"`
	ReferenceOrder string `json:"reference_order"`
	Metadata       any    `json:"metadata"`
}

// bankRoutes is the bank's merchant API.
func (s *Sandbox) bankRoutes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, call bankCall) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.bank(w, r, r.PathValue("id"), call) })
	}
	handle("GET /qr/v2/qr/{id}", s.inquire)
	handle("GET /qr/v2/order/{id}", s.bankOrder)
	handle("POST /qr/v2/qr/{id}/cancel", s.cancelCode)
	handle("POST /qr/v2/qr/{id}/void", s.voidCharge)
	mux.HandleFunc("POST /qr/v2/qr", s.serveCreateCode)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound().write(w) })
	return http.StripPrefix(BankPath, mux)
}

// bankError is an error of the bank.
func bankError(status int, code, message string) response {
	return response{status: status, body: toJSON(struct {
		Object  string `json:"object"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{"error", code, message})}
}

func notFound() response { return bankError(http.StatusNotFound, "not_found", "Not found.") }

// bankCall carries out a call about the order found by an id: of the order
// itself, or of one of its charges or codes.
type bankCall func(ctx context.Context, tx *sql.Tx, id string, found *record, out outcome) (response, error)

// bank serves one call of the bank's API.
func (s *Sandbox) bank(w http.ResponseWriter, r *http.Request, id string, call bankCall) {
	if s.opts.BankKey != "" && r.Header.Get("X-Api-Key") != s.opts.BankKey {
		bankError(http.StatusUnauthorized, "unauthorized", "The API key is missing or wrong.").write(w)
		return
	}
	fault := s.opts.Fail.draw()
	if fault != nil && fault.reject != nil {
		s.send(w, r, response{}, nil, fault)
		return
	}
	var res response
	err := s.store.tx(r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		found, err := findRecord(ctx, tx, id, orderAtBank)
		if errors.Is(err, ErrNoOrder) {
			res = notFound()
			return nil
		} else if err != nil {
			return err
		}
		out := outcomeOf(found.orderID, "")
		var calls int
		if err := tx.QueryRowContext(ctx, `UPDATE counts SET bank = bank + 1 WHERE orderid = ? RETURNING bank`, found.orderID).Scan(&calls); err != nil {
			return err
		}
		if calls <= out.bankDown {
			res = bankError(http.StatusServiceUnavailable, "service_unavailable", "The service is unavailable.")
			return nil
		}
		res, err = call(ctx, tx, id, found, out)
		return err
	})
	s.send(w, r, res, err, fault)
}

// serveCreateCode serves POST /qr/v2/qr.
func (s *Sandbox) serveCreateCode(w http.ResponseWriter, r *http.Request) {
	var req codeRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil || !isJSON(r) {
		bankError(http.StatusBadRequest, "invalid_request", "The body is not a request for a code in JSON.").write(w)
		return
	}
	s.bank(w, r, req.OrderID, func(ctx context.Context, tx *sql.Tx, id string, found *record, out outcome) (response, error) {
		if id != found.order.ID {
			return notFound(), nil
		}
		if res := req.check(found.order); res != nil {
			return *res, nil
		}
		if out.rejectCode != nil {
			return *out.rejectCode, nil
		}
		return s.createCode(ctx, tx, found, req.Sof, out.shapeCode)
	})
}

// check returns the error of a request that does not fit its order.
func (r codeRequest) check(o *order) *response {
	reject := func(field string) *response {
		return new(bankError(http.StatusBadRequest, "invalid_"+field, "The "+field+" is missing or does not fit the order."))
	}
	amount, ok := new(big.Rat).SetString(fmt.Sprint(r.Amount))
	price, _ := new(big.Rat).SetString(fmt.Sprint(o.Amount))
	switch {
	case !ok || amount.Cmp(price) != 0:
		return reject("amount")
	case r.Currency != o.Currency:
		return reject("currency")
	case r.ReferenceOrder != "" && r.ReferenceOrder != o.ReferenceOrder:
		return reject("reference_order")
	case r.Sof != "ThaiQR" && r.Sof != "WeChat":
		return reject("sof")
	}
	return nil
}

// createCode makes another code of an order.
func (s *Sandbox) createCode(ctx context.Context, tx *sql.Tx, found *record, sof string, shape func(*paymentCode, satang)) (response, error) {
	now := s.opts.Now()
	amount := amountOf(found.orderID)
	code := paymentCode{
		ID:          found.order.newID("qr"),
		Object:      "qr",
		OrderID:     found.order.ID,
		AccountName: "Villa Sandbox",
		SofSupport: []sofOption{
			{Code: "ThaiQR", Desc: "Thai QR Payment", IconURL: "https://bank.invalid/thaiqr.png"},
			{Code: "WeChat", Desc: "WeChat Pay", IconURL: "https://bank.invalid/wechat.png"},
		},
		Status:        "success",
		Created:       timestamp(now),
		Livemode:      found.order.live(),
		ExpireSeconds: codeLife,
	}
	code.PaintText = code.text(sof, amount)
	image, err := qr.Encode(code.PaintText, qr.M)
	if err != nil {
		return response{}, err
	}
	code.Image = base64.StdEncoding.EncodeToString(image.PNG())
	if shape != nil {
		shape(&code, amount)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO codes (id, order_n, created, expires, state) VALUES (?, ?, ?, ?, ?)`,
		code.ID, found.n, code.Created, now.Add(time.Duration(code.ExpireSeconds)*time.Second).UnixMilli(), codeOpen)
	return response{status: http.StatusOK, body: toJSON(code)}, err
}

// text returns what the code holds, different for each code.
func (c *paymentCode) text(sof string, amount satang) string {
	ref := c.ID[len(c.ID)-20:]
	if sof == "WeChat" {
		return weChatURL(ref)
	}
	return emvco(amount, strings.ToUpper(ref))
}

// inquire serves GET /qr/v2/qr/{id}: a charge, or the newest charge of an order.
func (s *Sandbox) inquire(_ context.Context, _ *sql.Tx, id string, found *record, _ outcome) (response, error) {
	switch {
	case id != found.order.ID && id != found.charge.id:
		return notFound(), nil
	case found.charge.id == "":
		return bankError(http.StatusNotFound, "charge_not_found", "The order has no charge."), nil
	}
	return response{status: http.StatusOK, body: found.bankCharge()}, nil
}

// bankCharge is the charge as the bank's API has it, without a status for WeChat.
func (r *record) bankCharge() string {
	charge := r.notification()
	if r.order.SourceType == "wechat" {
		charge.Status = ""
	}
	return toJSON(charge)
}

// bankOrder serves GET /qr/v2/order/{id}: the order, whether or not it was paid.
func (s *Sandbox) bankOrder(_ context.Context, _ *sql.Tx, id string, found *record, _ outcome) (response, error) {
	if id != found.order.ID {
		return notFound(), nil
	}
	return response{status: http.StatusOK, body: toJSON(found.order)}, nil
}

// cancelCode serves POST /qr/v2/qr/{id}/cancel. A canceled code stays canceled.
func (s *Sandbox) cancelCode(ctx context.Context, tx *sql.Tx, id string, found *record, out outcome) (response, error) {
	code := paymentCode{ID: id, Object: "qr", Status: "success", Livemode: found.order.live()}
	var state string
	err := tx.QueryRowContext(ctx, `SELECT created, state FROM codes WHERE id = ?`, id).Scan(&code.Created, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(), nil
	} else if err != nil {
		return response{}, err
	}
	if state == codeOpen && out.payOnCancel {
		if err := found.setState(ctx, tx, "Authorized", s.opts.Now()); err != nil {
			return response{}, err
		}
		state = codeUsed
	}
	if state == codeUsed {
		return bankError(http.StatusBadRequest, "already_paid", "The code was paid."), nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE codes SET state = ? WHERE id = ?`, codeCanceled, id)
	return response{status: http.StatusOK, body: toJSON(code), lost: out.loseCancel && state == codeOpen}, err
}

// voidCharge serves POST /qr/v2/qr/{id}/void. A voided charge stays voided.
func (s *Sandbox) voidCharge(ctx context.Context, tx *sql.Tx, id string, found *record, out outcome) (response, error) {
	paid := found.charge.state == "Authorized" || found.charge.state == "Settled"
	switch {
	case id != found.charge.id:
		return notFound(), nil
	case out.rejectVoid != nil:
		return *out.rejectVoid, nil
	case !paid && found.charge.state != "Voided":
		return bankError(http.StatusBadRequest, "invalid_state", "Only a paid charge can be voided."), nil
	}
	err := found.setState(ctx, tx, "Voided", s.opts.Now())
	return response{status: http.StatusOK, body: found.bankCharge(), lost: out.loseVoid && paid}, err
}
