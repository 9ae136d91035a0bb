package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/secret"
)

// oldPayment and oldReport are rows of schema versions 1 and 2. Fields that are
// not set are as in a payment of 300.00 THB that is open, and in a notification
// about it.
type oldPayment struct {
	orderID, bankOrderID, state, bankState, chargeID string
	json                                             string // of the order
	warnings, failure, replacedBy, key, amount       string
	noSlot, lapsed, noOrder                          bool
	age                                              int64 // of the order when it was asked for, ms
}

type oldReport struct {
	chargeID, bankOrderID, state, amount string
	api, guessed                         bool
}

// old makes a ledger of an older schema.
func (p *place) old(t *testing.T, version int, payments []oldPayment, reports []oldReport) {
	t.Helper()
	var db *sql.DB
	var err error
	dialect, statements := sqliteDialect, []string{fmt.Sprintf("PRAGMA user_version = %d", version)}
	if p.dsn == "sqlite" {
		db, err = sql.Open("sqlite", "file:"+filepath.Join(p.dir, "ledger.db"))
	} else {
		db, err = openPostgresDB(t, p.dsn)
		dialect, statements = postgresDialect, []string{"CREATE TABLE villapay_schema (version BIGINT NOT NULL)", fmt.Sprintf("INSERT INTO villapay_schema (version) VALUES (%d)", version)}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for v := 1; v <= version; v++ {
		text, err := migration(v, dialect())
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, strings.Split(text, ";\n")...)
	}
	at := time.Now().Add(-10 * time.Minute).Truncate(time.Second).UnixMilli()
	for i, o := range payments {
		recorded, body, bank, amount, created, expires := at, "NULL", o.bankOrderID, cmp.Or(o.amount, "300.00"), at-o.age, at-o.age+3_600_000
		if o.lapsed {
			recorded, created, expires = recorded-7_200_000, created-7_200_000, expires-7_200_000
		}
		if o.noOrder {
			bank, amount, created, expires = "", "", 0, 0
		} else {
			body = `'{"id":"` + bank + `","object":"order","amount":` + amount + `,"currency":"THB","status":"success","livemode":false,"expire_time_seconds":3600` + o.json + `}'`
		}
		paidAt, paidBy := int64(0), ""
		if o.state == "paid" || o.state == "cancelled" || o.state == "refunded" {
			paidAt, paidBy = at+5000, "transaction_state"
		}
		key := cmp.Or(o.key, fmt.Sprint("old-", i))
		statements = append(statements, fmt.Sprintf(`INSERT INTO villapay_payment (scope, env, orderid, source, idem_key, state, attempts, order_json, bank_id, amount, currency, created_at, expires_at,
				recorded_at, known_at, known_from, request_id, bank_state, charge_id, paid_at, paid_by, replaced_by, warnings, error, slot, claim, owner, holder, lease, ambiguous)
			VALUES ('%s', 'dev', '%s', 'qr', '%s', '%s', 1, %s, '%s', '%s', 'THB', %d, %d, %d, %d, 'webhook', 'r1', '%s', '%s', %d, '%s', '%s', '%s', '%s', %d, 1, '', 'old', 0, %d)`,
			scope, o.orderID, key, o.state, body, bank, amount, created, expires, recorded, recorded+5000, o.bankState, o.chargeID, paidAt, paidBy, o.replacedBy, o.warnings, o.failure,
			number(!o.noSlot), number(o.state == "unknown")))
	}
	for i, r := range reports {
		origin := "webhook"
		if r.api {
			origin = "api"
		}
		columns, values := "", ""
		if version > 1 {
			columns, values = ", guessed", fmt.Sprint(", ", number(r.guessed))
		}
		statements = append(statements, fmt.Sprintf(`INSERT INTO villapay_charge (scope, fingerprint, charge_id, bank_id, amount, currency, status, transaction_state, livemode, checksum, origin, paid_by, request_id, received_at, raw%s)
			VALUES ('%s', 'f%d', '%s', '%s', '%s', 'THB', 'success', '%s', 0, '', '%s', 'transaction_state', '', %d, '{}'%s)`,
			columns, scope, i, r.chargeID, r.bankOrderID, cmp.Or(r.amount, "300.00"), r.state, origin, at+5000+int64(i), values))
	}
	statements = append(statements, fmt.Sprintf(`INSERT INTO villapay_event (payment, at, kind, actor, request_id, note, data) VALUES (1, %d, 'claimed', 'old', '', 'an old note', '')`, at))
	for _, statement := range statements {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
}

// A ledger of version 1 or 2 is brought up to date, also by many at once. It
// forgets nothing, and the rules of today say what its payments are.
func TestAnOlderSchemaIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	const reversed = `{"code":"reversed","message":"the bank reversed charge rev1","status":0,"request_id":"","retryable":false}`
	type now struct {
		state              order.State
		chargeID, warnings string
	}
	cases := map[string]struct {
		payments []oldPayment
		reports  []oldReport
		want     []now // newest first
		verdict  Verdict
		only     int // the version that could hold it; 0 = both
	}{
		"awaiting, made before it was recorded": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", age: 60_000}},
			want:     []now{{order.Awaiting, "", ""}}, verdict: Replay,
		},
		"awaiting, made later": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", age: -2000}},
			want:     []now{{order.Awaiting, "", ""}}, verdict: Replay,
		},
		"paid by a notification": {
			payments: []oldPayment{{bankOrderID: "o", state: "paid", bankState: "Authorized", chargeID: "c1"}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Authorized"}},
			want:     []now{{order.Paid, "c1", ""}}, verdict: Replay,
		},
		"paid by a guess about one of two": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", noSlot: true, replacedBy: "newer"}, {bankOrderID: "p", state: "paid", bankState: "Settled", key: "newer"}},
			reports:  []oldReport{{bankOrderID: "p", state: "Settled", api: true, guessed: true}},
			want:     []now{{order.Paid, "", ""}, {order.Awaiting, "", "paid_elsewhere"}}, verdict: Replay, only: 2,
		},
		"canceled by a guess, beside a charge that is known": {
			payments: []oldPayment{{bankOrderID: "o", state: "paid", bankState: "Settled", chargeID: "c1", noSlot: true, replacedBy: "newer"}, {bankOrderID: "p", state: "cancelled", bankState: "Voided", noSlot: true, key: "newer"}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Settled"}, {chargeID: "c2", bankOrderID: "p", state: "Declined"}, {bankOrderID: "p", state: "Voided", api: true, guessed: true}},
			want:     []now{{order.Awaiting, "c2", "paid_elsewhere"}, {order.Paid, "c1", ""}}, verdict: Replay, only: 2,
		},
		"reversed, then paid by another charge": {
			payments: []oldPayment{{bankOrderID: "o", state: "paid", bankState: "Authorized", chargeID: "c2", failure: reversed, noSlot: true}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Reversed"}, {chargeID: "c2", bankOrderID: "o", state: "Authorized"}},
			want:     []now{{order.Paid, "c2", "charge_unpaid"}}, verdict: Replay,
		},
		"reversed": {
			payments: []oldPayment{{bankOrderID: "o", state: "failed", bankState: "Reversed", chargeID: "rev1", failure: reversed, noSlot: true}},
			reports:  []oldReport{{chargeID: "rev1", bankOrderID: "o", state: "Reversed"}},
			want:     []now{{order.Failed, "rev1", ""}}, verdict: Replay,
		},
		"canceled, its slot free": {
			payments: []oldPayment{{bankOrderID: "o", state: "cancelled", bankState: "Voided", chargeID: "c1", noSlot: true}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Authorized"}, {chargeID: "c1", bankOrderID: "o", state: "Voided"}},
			want:     []now{{order.Cancelled, "c1", ""}}, verdict: Replay,
		},
		"canceled, its slot taken": {
			payments: []oldPayment{{bankOrderID: "o", state: "cancelled", bankState: "Voided", chargeID: "c1", noSlot: true}, {bankOrderID: "p", state: "awaiting"}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Voided"}},
			want:     []now{{order.Awaiting, "", ""}, {order.Cancelled, "c1", ""}}, verdict: Replay,
		},
		"refunded by a refund that failed": {
			payments: []oldPayment{{bankOrderID: "o", state: "refunded", bankState: "Refund Failed", chargeID: "c1", noSlot: true}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Settled"}, {chargeID: "c1", bankOrderID: "o", state: "Refund Failed"}},
			want:     []now{{order.Paid, "c1", "refund_state"}}, verdict: Replay,
		},
		"failed at birth, then declined": {
			payments: []oldPayment{{bankOrderID: "o", state: "failed", bankState: "Declined", chargeID: "c1", json: `,"failure_code":"x"`, failure: `{"code":"x","message":"","status":0,"request_id":"","retryable":false}`, noSlot: true}},
			reports:  []oldReport{{chargeID: "c1", bankOrderID: "o", state: "Declined"}},
			want:     []now{{order.Failed, "c1", ""}}, verdict: AskFirst,
		},
		"open again after a guess, without its slot": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", noSlot: true}},
			want:     []now{{order.Awaiting, "", ""}}, verdict: Replay,
		},
		"lapsed": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", lapsed: true}},
			want:     []now{{order.Expired, "", ""}}, verdict: AskFirst,
		},
		"unknown": {
			payments: []oldPayment{{state: "unknown", noOrder: true}},
			want:     []now{{order.Unknown, "", ""}}, verdict: Claimed,
		},
		"rejected": {
			payments: []oldPayment{{state: "rejected", noOrder: true, noSlot: true}},
			want:     []now{{order.Rejected, "", ""}}, verdict: Claimed,
		},
		"an order whose text no JSON reader takes": {
			payments: []oldPayment{{bankOrderID: "o", state: "awaiting", json: `,"reference_order":"\ud800","description":"\u0000"`}},
			want:     []now{{order.Awaiting, "", ""}}, verdict: Replay,
		},
	}
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, at *place) {
				var payments []oldPayment
				var reports []oldReport
				for name, test := range cases {
					for _, p := range test.payments {
						p.orderID, p.key, p.bankOrderID = name, name+p.key+p.bankOrderID, p.bankOrderID+" of "+name
						payments = append(payments, p)
					}
					for _, r := range test.reports {
						r.bankOrderID += " of " + name
						if r.chargeID != "" {
							r.chargeID += " of " + name
						}
						if !r.guessed || version > 1 {
							reports = append(reports, r)
						}
					}
				}
				at.old(t, version, payments, reports)
				l := at.open(t)
				if kept := l.count(t, `SELECT count(*) FROM villapay_report`); kept != len(reports) {
					t.Errorf("%d reports are kept", kept)
				}
				if events := l.events(t, 1); len(events) == 0 || events[0].Note != "an old note" || events[0].Actor != "old" {
					t.Errorf("its history: %+v", events)
				}
				for name, test := range cases {
					if test.only > version {
						continue
					}
					all := l.of(t, name)
					var got []now
					for i, p := range all {
						got = append(got, now{p.State, strings.TrimSuffix(p.ChargeID, " of "+name), codes(p.Warnings)})
						old := test.payments[len(all)-1-i]
						if old.state == "paid" && p.State == order.Paid && !p.PaidAt.Truncate(time.Second).Equal(p.RecordedAt.Add(5*time.Second)) || (p.PaidAtFrom == order.AtKnown) != !p.PaidAt.IsZero() {
							t.Errorf("%s: recorded at %s, paid at %s from %q", name, p.RecordedAt, p.PaidAt, p.PaidAtFrom)
						}
						if held := p.ExpiresAt.Add(time.Duration(max(old.age, 0)) * time.Millisecond); !old.noOrder && !p.HeldUntil.Equal(held) {
							t.Errorf("%s: held until %s, want %s", name, p.HeldUntil, held)
						}
					}
					if !slices.Equal(got, test.want) {
						t.Errorf("%s: %+v, want %+v", name, got, test.want)
					}
					if c := l.mustClaim(t, ask(name), test.verdict); c.Resumed != (all[0].State == order.Unknown) {
						t.Errorf("%s: %+v", name, c)
					}
				}
			})
		})
	}
}

// What version 2 let several Villa orders share, or took for two, comes right, and
// what is heard later finds the old rows.
func TestOldOrdersTogether(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, at *place) {
		at.old(t, 2, []oldPayment{
			{orderID: "first", bankOrderID: "same", state: "paid", bankState: "Settled", chargeID: "c1"},
			{orderID: "second", bankOrderID: "same", state: "paid", bankState: "Settled", chargeID: "c1"},
			{orderID: "genuine", bankOrderID: "og", state: "paid", bankState: "Authorized", chargeID: "x5"},
			{orderID: "cut", bankOrderID: "oc", amount: "5300", state: "paid", bankState: "Authorized", chargeID: "x"},
			{orderID: "reference", bankOrderID: "or", json: `,"reference_order":"ref-1"`, state: "awaiting"},
			{orderID: "ended", bankOrderID: "oe", state: "paid", bankState: "Settled", chargeID: "c3"},
		}, []oldReport{
			{chargeID: "c1", bankOrderID: "same", state: "Settled"},
			{chargeID: "x5", bankOrderID: "og", state: "Authorized"},
			{chargeID: "x", bankOrderID: "oc", state: "Authorized", amount: "5300"},
			{chargeID: "c2", bankOrderID: "oearly", state: "Settled"},
			{chargeID: "c3", bankOrderID: "oe", state: "Settled", api: true},
		})
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				l, err := Open(context.Background(), secret.New(at.dsn), at.dir, "", at.clock.now)
				if err != nil {
					t.Error(err)
					return
				}
				defer l.Close()
				if all := l.of(t, "first"); i%2 == 0 && (len(all) != 1 || all[0].State != order.Paid) {
					t.Errorf("%+v", all)
				}
				l.mustClaim(t, ask(fmt.Sprint("new-", i)), Claimed)
			})
		}
		group.Wait()
		l := at.open(t)
		l.awaiting(t, "early")
		l.hear(t, report("c4", "ref-1", "Authorized"))
		l.hear(t, report("c3", "oe", "Voided"))
		for orderID, want := range map[string]order.State{
			"first": order.Paid, "second": order.Awaiting, "genuine": order.Paid, "cut": order.Awaiting,
			"early": order.Paid, "reference": order.Paid, "ended": order.Cancelled,
		} {
			if all := l.of(t, orderID); len(all) != 1 || all[0].State != want {
				t.Errorf("%s: %+v", orderID, all)
			}
		}
		if p := l.of(t, "second")[0]; !p.Warned(order.WarnShared) {
			t.Errorf("%+v", p.Warnings)
		}
		if claims := l.count(t, `SELECT count(*) FROM villapay_payment WHERE orderid LIKE 'new-%' AND slot = 1`); claims != 8 {
			t.Errorf("%d payments", claims)
		}
	})
}

// TestBringingUpToDateUsesIndexes asks SQLite itself how it would run every statement
// of the migrations: each may read a table from end to end once, and not again for
// each row of another.
func TestBringingUpToDateUsesIndexes(t *testing.T) {
	t.Parallel()
	at := sqlitePlace(t)
	at.old(t, 1, nil, nil)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(at.dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var statements []string
	for version := 2; version <= schemaVersion; version++ {
		text, err := migration(version, sqliteDialect())
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, strings.Split(text, ";\n")...)
	}
	explained := 0
	for _, statement := range append(statements, seenDifferently) {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		for _, step := range innerSteps(t, db, statement) {
			explained++
			if !strings.HasPrefix(step, "SEARCH") || strings.HasSuffix(step, "(scope=?)") || strings.Contains(step, "AUTOMATIC") {
				t.Errorf("%s\n\t%s", statement, step)
			}
		}
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	if explained < 9 {
		t.Errorf("only %d steps are known", explained)
	}
}

// innerSteps are the steps of a statement's plan that are done again for each row of
// another.
func innerSteps(t *testing.T, db *sql.DB, statement string) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement)
	if err != nil {
		t.Fatal(statement, err)
	}
	defer rows.Close()
	loops := map[int]bool{} // the nodes whose next table is read for each row of another
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(step, "CORRELATED"):
			loops[id] = true
		case !strings.HasPrefix(step, "SCAN ") && !strings.HasPrefix(step, "SEARCH "):
		case loops[parent]:
			steps = append(steps, step)
		default:
			loops[parent] = true
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
