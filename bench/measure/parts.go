//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// startUp compares what needs no configuration with a Go program that does
// nothing.
func (b *bench) startUp() error {
	bare := func() (usage, error) { return b.run(pipeline{{filepath.Join(b.dir, "bare")}}) }
	for _, test := range []struct {
		what, target string
		args         []string
	}{
		{"`version`", "at most 3", []string{"version"}},
		{"`--help`", "", []string{"--help"}},
		{"completion of a command", "", []string{"__complete", "pay", ""}},
	} {
		villapay := func() (usage, error) { return b.run(pipeline{b.villapay(test.args...)}) }
		if err := b.versus(test.what, villapay, bare, "bare Go program", test.target); err != nil {
			return err
		}
	}
	return nil
}

// size is the binary's.
func (b *bench) size() error {
	var sizes []int64
	for _, name := range []string{"villapay", "bare"} {
		info, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil {
			return err
		}
		sizes = append(sizes, info.Size())
	}
	b.table.row("binary", megabytes(sizes[0]), "bare Go program "+megabytes(sizes[1]), fmt.Sprintf("%.1f", float64(sizes[0])/float64(sizes[1])), "under 25 MB")
	return nil
}

// curl makes a fresh order, and a code of its id, from public tools.
func (b *bench) curl(url string, extra ...string) job {
	return func() (usage, error) {
		return b.run(pipeline{
			{
				"curl", "-s", "-X", "POST", url + "/0ms/qrpayment", "-H", "Authorization: token", "-H", "Content-Type: application/json",
				"-d", fmt.Sprintf(`{"orderid":%q,"source":"qr"}`, b.orderID()),
			},
			{"jq", "-r", ".id"},
			{"qrencode", "-t", "ANSIUTF8"},
		}, extra...)
	}
}

// payQR makes a fresh order.
func (b *bench) payQR(format string, extra ...string) job {
	return func() (usage, error) {
		return b.run(pipeline{b.villapay("pay", "qr", b.orderID(), "-o", format)}, extra...)
	}
}

// pay compares one payment with what makes the same code from public tools, and
// with itself without a ledger.
func (b *bench) pay() error {
	const tools = "`curl \\| jq \\| qrencode`"
	for _, format := range []string{"table", "qr", "json"} {
		if err := b.versus("`pay qr -o "+format+"`", b.payQR(format), b.curl(b.api), tools, "at most 0.4"); err != nil {
			return err
		}
	}
	trusted := []string{"VILLAPAY_BASE_URL=" + b.tls + "/0ms", "SSL_CERT_FILE=" + bundle(b.dir), "CURL_CA_BUNDLE=" + bundle(b.dir)}
	if err := b.versus("`pay qr -o qr` over TLS", b.payQR("qr", trusted...), b.curl(b.tls, trusted...), tools, ""); err != nil {
		return err
	}
	c, err := compare(b.sized(15, 201), b.payQR("table"), b.payQR("table", "VILLAPAY_LEDGER=none"))
	if err != nil {
		return err
	}
	b.table.row("the ledger's share of `pay qr`", milliseconds(c.left.wall-c.right.wall), "without a ledger "+milliseconds(c.right.wall), fmt.Sprintf("%.2f", c.ratio()), "under 6 ms")
	return b.bank()
}

// bank compares a payment whose code the bank draws, which takes one request more,
// with one without the bank's key.
func (b *bench) bank() error {
	config := filepath.Join(b.dir, "bank")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(config, "config.yaml"), []byte("envs:\n  dev: {kbank: {api_url: "+b.api+"/bank}}\n"), 0o600); err != nil {
		return err
	}
	withKey := b.payQR("qr", "VILLAPAY_CONFIG_DIR="+config, "VILLAPAY_KBANK_SECRET=skey_test_0")
	return b.versus("`pay qr -o qr` with the bank's code", withKey, b.payQR("qr"), "without the bank's key", "")
}

// million compares a ledger of a million payments, made by `pay batch` itself,
// with one of a thousand; and the memory of making them.
func (b *bench) million() error {
	n, ten := b.sized(20_000, 1_000_000), b.sized(2000, 10_000)
	less, err := b.payBatch("ten", ten)
	if err != nil {
		return err
	}
	few := filled{"SQLite", 1000, b.state("few"), b.next()}
	if _, err := b.payBatch("few", few.payments); err != nil {
		return err
	}
	many := filled{"SQLite", n, b.state("many"), b.next()}
	most, err := b.payBatch("many", n)
	if err != nil {
		return err
	}
	b.table.row(fmt.Sprintf("peak memory, `pay batch` of %d", n), mebibytes(most.peak), fmt.Sprintf("of %d: %s", ten, mebibytes(less.peak)), fmt.Sprintf("%.2f", float64(most.peak)/float64(less.peak)), "at most 1.2, under 80 MiB")
	return b.grown(many, few)
}

// filled is a ledger with payments in it.
type filled struct {
	kind     string
	payments int
	env      string // the variable that selects it
	orderID  string // one of its orders
}

// grown compares a ledger of many payments with one of few, and its searches with
// its lists.
func (b *bench) grown(many, few filled) error {
	at := fmt.Sprintf("at %d payments in %s", many.payments, many.kind)
	for _, test := range []struct {
		what, target string
		args         func(id string) []string
	}{
		{"`order status --offline`", "at most 1.3", func(id string) []string { return []string{"order", "status", id, "--offline"} }},
		{"`order list --limit 20`", "at most 1.3", func(string) []string { return []string{"order", "list", "--limit", "20"} }},
		{"`pay qr`", "at most 1.3", func(string) []string { return []string{"pay", "qr", b.orderID()} }},
		{"completion of an order ID", "", func(id string) []string { return []string{"__complete", "order", "status", id[:8]} }},
	} {
		in := func(f filled) job {
			return func() (usage, error) { return b.run(pipeline{b.villapay(test.args(f.orderID)...)}, f.env) }
		}
		if err := b.versus(test.what+" "+at, in(many), in(few), fmt.Sprintf("at %d", few.payments), test.target); err != nil {
			return err
		}
	}
	list := b.villapay("order", "list", "--limit", "20")
	rare := func() (usage, error) { return b.run(pipeline{append(list, "--state", "failed")}, many.env) }
	all := func() (usage, error) { return b.run(pipeline{list}, many.env) }
	if err := b.versus("`order list --state failed` "+at, rare, all, "all states", "at most 3"); err != nil {
		return err
	}
	var took []usage
	for range b.sized(3, 11) {
		u, err := b.run(pipeline{b.villapay("order", "find", many.orderID[2:])}, many.env)
		if err != nil {
			return err
		}
		took = append(took, u)
	}
	b.table.row("`order find` "+at, milliseconds(quartile(took).wall), "", "", "under 1000 ms")
	return nil
}
