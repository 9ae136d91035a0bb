-- Removes what Villa and the bank say about a customer from one Villa order, and leaves
-- what money needs. Put the order ID into the first condition. For everything before
-- 2026 (milliseconds since 1970) the condition is
--	recorded_at < 1767225600000
-- Run it: psql -v ON_ERROR_STOP=1 -f remove-customer.postgres.sql "$VILLAPAY_LEDGER"
-- villapay may run meanwhile. The last line locks the tables: choose a quiet hour.
BEGIN;
CREATE TEMP TABLE forget ON COMMIT DROP AS SELECT id, scope, orderid, bank_id, reference FROM villapay_payment
	WHERE orderid = '492500004632';
UPDATE villapay_payment SET order_json = (SELECT json_object_agg(key, value)::text FROM json_each(order_json::json)
		WHERE key IN ('id', 'object', 'created', 'livemode', 'amount', 'currency', 'status', 'reference_order',
			'source_type', 'failure_code', 'expire_time_seconds'))
	WHERE order_json IS NOT NULL AND id IN (SELECT id FROM forget);
UPDATE villapay_report AS r SET raw = CASE origin WHEN 'webhook' THEN (SELECT json_object_agg(key, value)::text FROM json_each(raw::json)
		WHERE key IN ('id', 'object', 'order_id', 'reference_order', 'amount', 'currency',
			'status', 'transaction_state', 'created', 'livemode', 'checksum')) ELSE '{}' END
	WHERE EXISTS (SELECT 1 FROM forget AS f WHERE f.scope = r.scope AND (f.orderid = r.orderid
		OR r.bank_id <> '' AND r.bank_id IN (f.bank_id, f.reference) OR r.reference <> '' AND r.reference = f.reference));
UPDATE villapay_event SET data = '' WHERE payment IS NULL OR payment IN (SELECT id FROM forget);
COMMIT;
VACUUM FULL villapay_payment, villapay_report, villapay_event;
