-- guessed is 1 where a status answer named no bank order and the Villa order has
-- several: bank_id is then only where it was taken to belong.
ALTER TABLE villapay_charge ADD COLUMN guessed BIGINT NOT NULL DEFAULT 0;
