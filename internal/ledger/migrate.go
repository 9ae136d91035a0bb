package ledger

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the version that this program reads and writes: the number
// of files in migrations, named 0001.sql and up.
const schemaVersion = 3

// dialect is what a database writes its own way.
type dialect struct {
	id        string // what an automatic id is declared as
	bytes     string // the collation that sorts by bytes
	dot       string // where the dot is in an amount; 0 = nowhere
	reference string // the reference_order in an order's JSON
	index     string // the statements that make an index of [ids], if it has one

	bind func(query string) string // writes the place of each argument, ?

	contains func(expression string) string // the condition that a text matches a LIKE pattern of small letters
	by       func(index string) string      // reads a table through an index, where the database would take a worse one
	byID     string                         // and through none but that of the numbers
	sorted   string                         // a summand that keeps them from being read one by one, newest first
}

// ids are the texts of a payment that are searched, as one.
const ids = `orderid || ' ' || idem_key || ' ' || bank_id || ' ' || reference || ' ' || charge_id`

// sqliteDialect replaces the index of recorded_at with one that is searched backward.
// It grows at its end, so it costs a payment little.
func sqliteDialect() dialect {
	return dialect{
		id: "INTEGER PRIMARY KEY", dot: "instr(c.amount, '.')", reference: "json_extract(order_json, '$.reference_order')",
		bind:  func(query string) string { return query },
		index: "DROP INDEX villapay_payment_recent_all;\nCREATE INDEX villapay_payment_find ON villapay_payment (recorded_at, id, scope, amount, " + ids + ")",

		contains: func(expression string) string { return "(" + expression + `) LIKE ? ESCAPE '\'` }, // in any case
		by:       func(index string) string { return " INDEXED BY " + index },
		byID:     " NOT INDEXED",
	}
}

// postgresDialect has no index of ids: every change of a payment would write to
// it. PostgreSQL reads all payments with several processes.
func postgresDialect() dialect {
	return dialect{
		id: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", bytes: `COLLATE "C"`, dot: "strpos(c.amount, '.')", reference: postgresReference, bind: bind,

		contains: func(expression string) string { return "lower((" + expression + `) COLLATE "C") LIKE ? ESCAPE '\'` },
		by:       func(string) string { return "" },
		sorted:   " + 0",
	}
}

// postgresReference leaves out the escapes (NUL, halves of a pair) that PostgreSQL
// cannot read.
const postgresReference = `CASE WHEN order_json !~* '\\u(0000|d[89ab])' THEN order_json::json->>'reference_order' END`

// migration returns the SQL that leads to a version.
func migration(version int, d dialect) (string, error) {
	text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", version))
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{{id}}", d.id, "{{bytes}}", d.bytes, "{{dot}}", d.dot, "{{reference}}", d.reference, "{{index}}", d.index).Replace(string(text)), nil
}

// migrate runs the migrations after version, inside the caller's transaction.
func migrate(t *txn, version int, d dialect) error {
	first := version + 1
	for version++; version <= schemaVersion; version++ {
		text, err := migration(version, d)
		if err != nil {
			return err
		}
		for statement := range strings.SplitSeq(text, ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if err := t.exec(statement); err != nil {
				return fmt.Errorf("bring the schema to version %d: %w", version, err)
			}
		}
	}
	if first == 2 || first == 3 {
		return resolveAnew(t)
	}
	return nil
}

// seenDifferently finds the Villa orders whose payments the rules of schema versions 1
// and 2 could see differently: those whose charges are not simply paid, or share a bank
// order or a border with others. Each side of a join repeats the condition of its
// index, else SQLite would scan the whole scope for each row.
const seenDifferently = `SELECT DISTINCT p.scope, p.orderid FROM villapay_payment p JOIN villapay_report r ON r.scope = p.scope AND r.bank_id = p.bank_id AND r.bank_id <> ''
		WHERE p.bank_id <> '' AND NOT (lower(r.transaction_state) IN ('authorized', 'auhtorized', 'settled') AND r.origin = 'webhook')
	UNION SELECT r.scope, r.orderid FROM villapay_report r WHERE r.orderid <> ''
	UNION SELECT p.scope, p.orderid FROM villapay_payment p JOIN villapay_payment q ON q.scope = p.scope AND q.orderid = p.orderid AND q.id <> p.id AND q.bank_state <> ''
		WHERE p.bank_id <> ''
	UNION SELECT p.scope, p.orderid FROM villapay_payment p JOIN villapay_payment q ON q.scope = p.scope AND q.orderid = p.orderid AND q.state = 'paid'
		WHERE p.state IN ('sending', 'unknown')
	UNION SELECT p.scope, p.orderid FROM villapay_payment p JOIN villapay_report r ON r.scope = p.scope AND r.bank_id = p.bank_id AND r.bank_id <> ''
		WHERE p.bank_id <> '' GROUP BY p.scope, p.orderid HAVING count(DISTINCT r.charge_id) > 1
	UNION SELECT p.scope, p.orderid FROM villapay_report r JOIN villapay_report s ON s.scope = r.scope AND s.border = r.border AND s.charge_id <> r.charge_id
		JOIN villapay_payment p ON p.scope = r.scope AND p.bank_id = r.bank_id WHERE r.border <> '' AND s.border <> '' AND r.bank_id <> '' AND p.bank_id <> ''
	UNION SELECT p.scope, p.orderid FROM villapay_payment p JOIN villapay_payment q ON q.scope = p.scope AND q.bank_id = p.bank_id AND q.bank_id <> '' AND q.orderid <> p.orderid
		WHERE p.bank_id <> ''`

// resolveAnew applies the rules of today to those Villa orders.
func resolveAnew(t *txn) error {
	t.lock = func(...lockKey) {} // nobody else is at work, and a server has no room for a lock an order
	rows, err := t.query(seenDifferently)
	type villa struct{ scope, orderID string }
	found, err := collect(rows, err, func(v *villa) error { return rows.Scan(&v.scope, &v.orderID) })
	if err != nil {
		return err
	}
	villas := map[string]set{}
	for _, v := range found {
		if villas[v.scope] == nil {
			villas[v.scope] = set{}
		}
		villas[v.scope].add(v.orderID)
	}
	for scope, orders := range villas {
		if _, err := (&Ledger{actor: "villapay"}).resolveAll(t, scope, orders, source{}); err != nil {
			return err
		}
	}
	return nil
}

// checkVersion fails for a schema that this program does not know.
func checkVersion(version int) error {
	if version > schemaVersion {
		return fmt.Errorf("its schema is version %d, this program knows %d: %w", version, schemaVersion, ErrNewerSchema)
	}
	return nil
}
