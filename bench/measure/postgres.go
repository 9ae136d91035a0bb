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
	return b.grown(filled{"PostgreSQL", n, many, "492600000001"}, filled{"PostgreSQL", 1000, few, paid})
}

// postgresNear compares a server on this machine with SQLite.
func (b *bench) postgresNear(at string) error {
	if err := b.versus("`pay qr`, PostgreSQL on this machine", b.payQR("table", at), b.payQR("table"), "SQLite", ""); err != nil {
		return err
	}
	orders := b.sized(2000, 20_000)
	c, err := compare(b.sized(1, 3),
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
