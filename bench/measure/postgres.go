//go:build unix

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// away is how far away a server stands that is not in the shop: one round trip.
const away = 20 * time.Millisecond

// postgres measures a ledger in PostgreSQL: on this machine, over a link, and with
// many payments. It needs a server, in VILLAPAY_TEST_POSTGRES, in which it makes
// schemas of its own.
func (b *bench) postgres() error {
	server, err := url.Parse(os.Getenv("VILLAPAY_TEST_POSTGRES"))
	if err != nil || server.Host == "" {
		b.table.row("PostgreSQL", "not measured", "VILLAPAY_TEST_POSTGRES names no server", "", "")
		return err
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	l, err := newLink(server.Host, away)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	ledger := func(schema, host string) string {
		query := server.Query()
		query.Set("search_path", schema)
		return "VILLAPAY_LEDGER=" + (&url.URL{Scheme: server.Scheme, User: server.User, Host: host, Path: server.Path, RawQuery: query.Encode()}).String()
	}
	schemas := []string{fmt.Sprintf("villapay_bench_%d_few", os.Getpid()), fmt.Sprintf("villapay_bench_%d_many", os.Getpid())}
	few, far, many := ledger(schemas[0], server.Host), ledger(schemas[0], l.Addr().String()), ledger(schemas[1], server.Host)
	for _, schema := range schemas {
		if _, err := admin.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return err
		}
		defer func() { _, _ = admin.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE") }()
	}
	for _, at := range []string{many, few} {
		if _, err := b.payBatch("postgres", 1000, at); err != nil {
			return err
		}
	}
	paid := b.last()
	if err := b.postgresNear(few); err != nil {
		return err
	}
	if err := b.postgresFar(far, l); err != nil {
		return err
	}
	n := b.sized(20_000, 1_000_000)
	if err := fill(ctx, admin, schemas[1], n); err != nil {
		return err
	}
	return b.postgresMany(few, many, paid, n)
}

// postgresNear compares a server on this machine with SQLite.
func (b *bench) postgresNear(at string) error {
	c, err := compare(b.sized(15, 101),
		func() (usage, error) { return b.run(pipeline{b.villapay("pay", "qr", b.orderID())}, at) },
		func() (usage, error) { return b.run(pipeline{b.villapay("pay", "qr", b.orderID())}) })
	if err != nil {
		return err
	}
	b.table.compared("`pay qr`, PostgreSQL on this machine", c, "SQLite", "")
	orders := b.sized(2000, 20_000)
	c, err = compare(b.sized(1, 3),
		func() (usage, error) { return b.payBatch("postgres", orders, at, b.slowly()) },
		func() (usage, error) { return b.payBatch("batch", orders, b.slowly()) })
	if err != nil {
		return err
	}
	rate := func(u usage) string { return perSecond(float64(orders) / u.wall.Seconds()) }
	b.table.row(fmt.Sprintf("`pay batch`, %d at once, PostgreSQL on this machine", concurrency), rate(c.left), "SQLite "+rate(c.right), fmt.Sprintf("%.2f", 1/c.ratio()), "")
	return nil
}

// postgresFar compares a server some way off with the round trips that it takes
// at least, of which connecting is one.
func (b *bench) postgresFar(at string, l *link) error {
	for _, test := range []struct {
		name, target string
		least        int
		args         func() []string
	}{
		{"`pay qr`", "at most 9 round trips", 4, func() []string { return []string{"pay", "qr", b.orderID()} }},
		{"`order status --offline`", "at most 5 round trips", 3, func() []string { return []string{"order", "status", b.last(), "--offline"} }},
	} {
		before, runs := l.trips.Load(), b.sized(5, 21)
		var took []usage
		for range runs {
			u, err := b.run(pipeline{b.villapay(test.args()...)}, at)
			if err != nil {
				return err
			}
			took = append(took, u)
		}
		trips, wall := float64(l.trips.Load()-before)/float64(runs), quartile(took).wall
		least := time.Duration(test.least) * away
		b.table.row(fmt.Sprintf("%s, PostgreSQL %s away: %.1f round trips", test.name, away, trips), milliseconds(wall),
			fmt.Sprintf("%d round trips %s", test.least, milliseconds(least)), fmt.Sprintf("%.2f", wall.Seconds()/least.Seconds()), test.target)
	}
	limit := concurrency / (latency + 2*away).Seconds()
	orders := b.sized(3000, 10_000)
	u, err := b.payBatch("postgres", orders, at, b.slowly())
	if err != nil {
		return err
	}
	rate := float64(orders) / u.wall.Seconds()
	b.table.row(fmt.Sprintf("`pay batch`, %d at once, PostgreSQL %s away", concurrency, away), perSecond(rate),
		"concurrency / (latency + 2 round trips) "+perSecond(limit), fmt.Sprintf("%.2f", rate/limit), "at least 0.4")
	return nil
}

// postgresMany compares a ledger of n payments with one of few, of which one is
// paid, and lists of rare states with lists of all.
func (b *bench) postgresMany(few, many, paid string, n int) error {
	for _, test := range []struct {
		name string
		args func(id string) []string
	}{
		{"`order status --offline`", func(id string) []string { return []string{"order", "status", id, "--offline"} }},
		{"`order list --limit 20`", func(string) []string { return []string{"order", "list", "--limit", "20"} }},
		{"`pay qr`", func(string) []string { return []string{"pay", "qr", b.orderID()} }},
	} {
		c, err := compare(b.sized(15, 101),
			func() (usage, error) { return b.run(pipeline{b.villapay(test.args("492600000001")...)}, many) },
			func() (usage, error) { return b.run(pipeline{b.villapay(test.args(paid)...)}, few) })
		if err != nil {
			return err
		}
		b.table.compared(fmt.Sprintf("%s at %d payments in PostgreSQL", test.name, n), c, "at 1000", "at most 1.3")
	}
	return b.search(n, "PostgreSQL", many, "492600000001")
}

// search compares a list of a state that hardly any payment is in with one of all, and
// finds an order by a part of its ID.
func (b *bench) search(n int, name, at, orderID string) error {
	list := b.villapay("order", "list", "--limit", "20")
	c, err := compare(b.sized(15, 101),
		func() (usage, error) { return b.run(pipeline{append(list, "--state", "failed")}, at) },
		func() (usage, error) { return b.run(pipeline{list}, at) })
	if err != nil {
		return err
	}
	b.table.compared(fmt.Sprintf("`order list --state failed` at %d payments in %s", n, name), c, "all states", "at most 3")
	var took []usage
	for range b.sized(3, 11) {
		u, err := b.run(pipeline{b.villapay("order", "find", orderID[2:])}, at)
		if err != nil {
			return err
		}
		took = append(took, u)
	}
	b.table.row(fmt.Sprintf("`order find` at %d payments in %s", n, name), milliseconds(quartile(took).wall), "", "", "under 1000 ms")
	return nil
}

// slowly is the server that takes its time.
func (b *bench) slowly() string { return "VILLAPAY_BASE_URL=" + b.api + "/" + latency.String() }

// fill adds copies of the first payment to a ledger, a hundred-thousandth of them
// failed.
func fill(ctx context.Context, db *pgx.Conn, schema string, n int) error {
	table := schema + ".villapay_payment"
	_, err := db.Exec(ctx, `INSERT INTO `+table+` OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(p, jsonb_build_object(
			'id', -n, 'orderid', '4926' || lpad(n::text, 8, '0'), 'idem_key', 'copy ' || n, 'bank_id', 'order_copy_' || n, 'reference', 'copy-' || n,
			'state', CASE n % 100000 WHEN 0 THEN 'failed' ELSE p.state END, 'recorded_at', p.recorded_at - n * 1000))).*
		FROM `+table+` p, generate_series(1::bigint, $1) n WHERE p.id = 1`, n)
	if err == nil {
		_, err = db.Exec(ctx, "ANALYZE "+table)
	}
	return err
}
