-- One payment is one attempt to get one Villa order paid. slot is 1 while it
-- holds the one place of its order and source; order_json is null until the API
-- has answered with an order. Times are ms since 1970 UTC, 0 = none.
CREATE TABLE villapay_payment (
	id          {{id}},
	scope       TEXT   NOT NULL,
	env         TEXT   NOT NULL,
	orderid     TEXT {{bytes}} NOT NULL,
	source      TEXT   NOT NULL,
	idem_key    TEXT   NOT NULL,
	state       TEXT   NOT NULL,
	attempts    BIGINT NOT NULL,
	order_json  TEXT,
	bank_id     TEXT   NOT NULL,
	amount      TEXT   NOT NULL,
	currency    TEXT   NOT NULL,
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
	known_at    BIGINT NOT NULL,
	known_from  TEXT   NOT NULL,
	request_id  TEXT   NOT NULL,
	bank_state  TEXT   NOT NULL,
	charge_id   TEXT   NOT NULL,
	paid_at     BIGINT NOT NULL,
	paid_by     TEXT   NOT NULL,
	replaced_by TEXT   NOT NULL,
	warnings    TEXT   NOT NULL,
	error       TEXT   NOT NULL,
	slot        BIGINT NOT NULL,
	claim       BIGINT NOT NULL,
	owner       TEXT   NOT NULL,
	holder      TEXT   NOT NULL,
	lease       BIGINT NOT NULL,
	ambiguous   BIGINT NOT NULL
);

CREATE UNIQUE INDEX villapay_payment_slot ON villapay_payment (scope, orderid, source) WHERE slot = 1;
CREATE UNIQUE INDEX villapay_payment_key ON villapay_payment (scope, idem_key);
CREATE INDEX villapay_payment_order ON villapay_payment (scope, orderid, state);
CREATE INDEX villapay_payment_bank ON villapay_payment (scope, bank_id) WHERE bank_id <> '';
CREATE INDEX villapay_payment_recent ON villapay_payment (scope, recorded_at, id);
CREATE INDEX villapay_payment_recent_all ON villapay_payment (recorded_at, id);

-- Everything different that was ever said of a charge, appended only. Where a
-- charge stands is computed from all of it. livemode: 1, 0, or -1 = not said.
CREATE TABLE villapay_charge (
	id                {{id}},
	scope             TEXT   NOT NULL,
	fingerprint       TEXT   NOT NULL,
	charge_id         TEXT   NOT NULL,
	bank_id           TEXT   NOT NULL,
	amount            TEXT   NOT NULL,
	currency          TEXT   NOT NULL,
	status            TEXT   NOT NULL,
	transaction_state TEXT   NOT NULL,
	livemode          BIGINT NOT NULL,
	checksum          TEXT   NOT NULL,
	origin            TEXT   NOT NULL,
	paid_by           TEXT   NOT NULL,
	request_id        TEXT   NOT NULL,
	received_at       BIGINT NOT NULL,
	raw               TEXT   NOT NULL
);

CREATE UNIQUE INDEX villapay_charge_once ON villapay_charge (scope, fingerprint);
CREATE INDEX villapay_charge_id ON villapay_charge (scope, charge_id);
CREATE INDEX villapay_charge_checksum ON villapay_charge (scope, checksum) WHERE checksum <> '';
CREATE INDEX villapay_charge_bank ON villapay_charge (scope, bank_id);

-- History, appended only. payment is null for charges on orders that are not
-- recorded (yet).
CREATE TABLE villapay_event (
	id         {{id}},
	payment    BIGINT REFERENCES villapay_payment (id),
	at         BIGINT NOT NULL,
	kind       TEXT   NOT NULL,
	actor      TEXT   NOT NULL,
	request_id TEXT   NOT NULL,
	note       TEXT   NOT NULL,
	data       TEXT   NOT NULL
);

CREATE INDEX villapay_event_payment ON villapay_event (payment, id);
