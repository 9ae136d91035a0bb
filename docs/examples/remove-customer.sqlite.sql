-- Removes what Villa and the bank say about a customer from one Villa order, and leaves
-- what money needs. Put the order ID into the first condition. For everything before
-- 2026 (milliseconds since 1970) the condition is
--	recorded_at < 1767225600000
-- Run it: sqlite3 -bail ~/.local/state/villapay/ledger.db < remove-customer.sqlite.sql
-- SQLite 3.38 or newer; villapay may run meanwhile.
BEGIN IMMEDIATE;
CREATE TEMP TABLE forget AS SELECT id, scope, orderid, bank_id, reference FROM villapay_payment
	WHERE orderid = '492500004632';
UPDATE villapay_payment SET order_json = (SELECT json_group_object(key, json(order_json -> fullkey)) FROM json_each(order_json)
		WHERE key IN ('id', 'object', 'created', 'livemode', 'amount', 'currency', 'status', 'reference_order',
			'source_type', 'failure_code', 'expire_time_seconds'))
	WHERE order_json IS NOT NULL AND id IN (SELECT id FROM forget);
UPDATE villapay_report AS r SET raw = (SELECT json_group_object(key, json(raw -> fullkey)) FROM json_each(raw)
		WHERE origin = 'webhook' AND key IN ('id', 'object', 'order_id', 'reference_order', 'amount', 'currency',
			'status', 'transaction_state', 'created', 'livemode', 'checksum'))
	WHERE EXISTS (SELECT 1 FROM forget AS f WHERE f.scope = r.scope AND (f.orderid = r.orderid
		OR r.bank_id <> '' AND r.bank_id IN (f.bank_id, f.reference) OR r.reference <> '' AND r.reference = f.reference));
UPDATE villapay_event SET data = '' WHERE payment IS NULL OR payment IN (SELECT id FROM forget);
COMMIT;
VACUUM;
PRAGMA wal_checkpoint(TRUNCATE);
