-- Codes have two ends: expires_at, from which nothing is shown for paying, and
-- held_until, from which the order has lapsed for certain. paid_at_from is bank
-- or known. reference is the order's reference_order.
ALTER TABLE villapay_payment ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE villapay_payment ADD COLUMN paid_at_from TEXT NOT NULL DEFAULT '';
ALTER TABLE villapay_payment ADD COLUMN reference TEXT NOT NULL DEFAULT '';

-- The last code of the bank's, or page with its widget, that the payment may be
-- paid with: code_kind is '' if there was none. code_canceled is 1 if the bank
-- confirmed that, 2 while its cancellation has no answer. canceled is 1 if its codes were
-- canceled for good.
ALTER TABLE villapay_payment ADD COLUMN code_id TEXT NOT NULL DEFAULT '';
ALTER TABLE villapay_payment ADD COLUMN code_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE villapay_payment ADD COLUMN code_text TEXT NOT NULL DEFAULT '';
ALTER TABLE villapay_payment ADD COLUMN code_shown_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE villapay_payment ADD COLUMN code_held_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE villapay_payment ADD COLUMN code_canceled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE villapay_payment ADD COLUMN canceled BIGINT NOT NULL DEFAULT 0;

-- What was asked of the bank to change: kind is cancel (target: a code) or void
-- (target: a charge), state is sent, done or rejected. Claims are as for payments.
CREATE TABLE villapay_change (
	id      {{id}},
	payment BIGINT NOT NULL REFERENCES villapay_payment (id),
	kind    TEXT   NOT NULL,
	target  TEXT   NOT NULL,
	state   TEXT   NOT NULL,
	claim   BIGINT NOT NULL,
	owner   TEXT   NOT NULL,
	holder  TEXT   NOT NULL,
	lease   BIGINT NOT NULL
);

CREATE UNIQUE INDEX villapay_change_once ON villapay_change (payment, kind, target);

UPDATE villapay_payment SET
	held_until = CASE WHEN expires_at = 0 THEN 0
		WHEN recorded_at + expires_at - created_at > expires_at AND created_at <> 0 THEN recorded_at + expires_at - created_at
		ELSE expires_at END,
	paid_at_from = CASE WHEN paid_at <> 0 THEN 'known' ELSE '' END,
	reference = CASE WHEN order_json LIKE '%reference_order%' THEN coalesce({{reference}}, '') ELSE '' END
WHERE order_json IS NOT NULL;

CREATE INDEX villapay_payment_reference ON villapay_payment (scope, reference) WHERE reference <> '';

-- Charges free no slot any more: the newest payment of an order and source keeps
-- it, whatever became of its charge, unless it failed at birth.
UPDATE villapay_payment SET slot = 1 WHERE slot = 0 AND replaced_by = '' AND order_json IS NOT NULL AND (state <> 'failed' OR error LIKE '%"code":"reversed"%')
	AND id = (SELECT max(p.id) FROM villapay_payment p WHERE p.scope = villapay_payment.scope AND p.orderid = villapay_payment.orderid
		AND p.source = villapay_payment.source AND p.state <> 'rejected')
	AND NOT EXISTS (SELECT 1 FROM villapay_payment p WHERE p.scope = villapay_payment.scope AND p.orderid = villapay_payment.orderid
		AND p.source = villapay_payment.source AND p.slot = 1);

-- Everything different that was ever said about a charge, appended only, with the
-- ids that were stated: orderid is the Villa order that was asked about, '' for a
-- notification. What payments are is computed from all of it. livemode: 1, 0, or
-- -1 = not stated. charged_at is the charge's own time, 0 = not stated.
CREATE TABLE villapay_report (
	id                {{id}},
	scope             TEXT   NOT NULL,
	fingerprint       TEXT   NOT NULL,
	orderid           TEXT {{bytes}} NOT NULL,
	bank_id           TEXT   NOT NULL,
	reference         TEXT   NOT NULL,
	charge_id         TEXT   NOT NULL,
	border            TEXT   NOT NULL,
	amount            TEXT   NOT NULL,
	currency          TEXT   NOT NULL,
	status            TEXT   NOT NULL,
	transaction_state TEXT   NOT NULL,
	livemode          BIGINT NOT NULL,
	charged_at        BIGINT NOT NULL,
	doubt             TEXT   NOT NULL,
	origin            TEXT   NOT NULL,
	paid_by           TEXT   NOT NULL,
	request_id        TEXT   NOT NULL,
	received_at       BIGINT NOT NULL,
	raw               TEXT   NOT NULL
);

INSERT INTO villapay_report (scope, fingerprint, orderid, bank_id, reference, charge_id, border, amount, currency, status, transaction_state,
	livemode, charged_at, doubt, origin, paid_by, request_id, received_at, raw)
SELECT c.scope, c.fingerprint,
	CASE WHEN c.origin = 'api' THEN coalesce((SELECT p.orderid FROM villapay_payment p WHERE p.scope = c.scope AND p.bank_id = c.bank_id AND p.bank_id <> '' ORDER BY p.id LIMIT 1), '') ELSE '' END,
	CASE WHEN c.guessed = 1 THEN '' ELSE c.bank_id END, '', c.charge_id,
	CASE WHEN c.charge_id = '' OR c.amount = '' THEN ''
		WHEN {{dot}} = 0 THEN c.charge_id || c.amount || '.0000'
		ELSE c.charge_id || substr(c.amount || '0000', 1, {{dot}} + 4) END,
	c.amount, c.currency, c.status, c.transaction_state, c.livemode, 0, '', c.origin, c.paid_by, c.request_id, c.received_at, c.raw
FROM villapay_charge c ORDER BY c.id;

DROP TABLE villapay_charge;

CREATE UNIQUE INDEX villapay_report_once ON villapay_report (scope, fingerprint);
CREATE INDEX villapay_report_order ON villapay_report (scope, orderid) WHERE orderid <> '';
CREATE INDEX villapay_report_bank ON villapay_report (scope, bank_id) WHERE bank_id <> '';
CREATE INDEX villapay_report_reference ON villapay_report (scope, reference) WHERE reference <> '';
CREATE INDEX villapay_report_charge ON villapay_report (scope, charge_id) WHERE charge_id <> '';
CREATE INDEX villapay_report_border ON villapay_report (scope, border) WHERE border <> '';

-- What came in, by the time of payment, with all that a total needs; and the few
-- payments of Villa orders that were paid more than once.
CREATE INDEX villapay_payment_paid ON villapay_payment (paid_at, scope, source, env, state, currency, amount) WHERE paid_at <> 0;
CREATE INDEX villapay_payment_twice ON villapay_payment (scope, orderid) WHERE warnings LIKE '%"code":"paid_twice%';

-- Every payment is in one of the two: open orders, by when they expire, or the rest.
CREATE INDEX villapay_payment_expiry ON villapay_payment (expires_at) WHERE state = 'awaiting';
CREATE INDEX villapay_payment_state ON villapay_payment (state, recorded_at, id) WHERE state <> 'awaiting';

{{index}};
