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
	bare := pipeline{{filepath.Join(b.dir, "bare")}}
	for _, test := range []struct {
		what, target string
		args         []string
	}{
		{"`version`", "at most 3", []string{"version"}},
		{"`--help`", "", []string{"--help"}},
		{"completion of a command", "", []string{"__complete", "pay", ""}},
	} {
		c, err := compare(b.sized(15, 201),
			func() (usage, error) { return b.run(pipeline{b.villapay(test.args...)}) },
			func() (usage, error) { return b.run(bare) })
		if err != nil {
			return err
		}
		b.table.compared(test.what, c, "bare Go program", test.target)
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

// curl makes an order, and a code of its id, from public tools.
func (b *bench) curl(url string) pipeline {
	return pipeline{
		{
			"curl", "-s", "-X", "POST", url + "/0ms/qrpayment", "-H", "Authorization: token", "-H", "Content-Type: application/json",
			"-d", fmt.Sprintf(`{"orderid":%q,"source":"qr"}`, b.orderID()),
		},
		{"jq", "-r", ".id"},
		{"qrencode", "-t", "ANSIUTF8"},
	}
}

// pay compares one payment, a fresh order each, with what makes the same code
// from public tools, and with itself without a ledger.
func (b *bench) pay() error {
	for _, format := range []string{"table", "qr", "json"} {
		c, err := compare(b.sized(15, 201),
			func() (usage, error) { return b.run(pipeline{b.villapay("pay", "qr", b.orderID(), "-o", format)}) },
			func() (usage, error) { return b.run(b.curl(b.api)) })
		if err != nil {
			return err
		}
		b.table.compared("`pay qr -o "+format+"`", c, "`curl \\| jq \\| qrencode`", "at most 0.4")
	}
	trusted := []string{"VILLAPAY_BASE_URL=" + b.tls + "/0ms", "SSL_CERT_FILE=" + bundle(b.dir), "CURL_CA_BUNDLE=" + bundle(b.dir)}
	c, err := compare(b.sized(15, 201),
		func() (usage, error) {
			return b.run(pipeline{b.villapay("pay", "qr", b.orderID(), "-o", "qr")}, trusted...)
		},
		func() (usage, error) { return b.run(b.curl(b.tls), trusted...) })
	if err != nil {
		return err
	}
	b.table.compared("`pay qr -o qr` over TLS", c, "`curl \\| jq \\| qrencode`", "")
	c, err = compare(b.sized(15, 201),
		func() (usage, error) { return b.run(pipeline{b.villapay("pay", "qr", b.orderID())}) },
		func() (usage, error) {
			return b.run(pipeline{b.villapay("pay", "qr", b.orderID())}, "VILLAPAY_LEDGER=none")
		})
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
	c, err := compare(b.sized(15, 201),
		func() (usage, error) {
			return b.run(pipeline{b.villapay("pay", "qr", b.orderID(), "-o", "qr")}, "VILLAPAY_CONFIG_DIR="+config, "VILLAPAY_KBANK_SECRET=skey_test_0")
		},
		func() (usage, error) { return b.run(pipeline{b.villapay("pay", "qr", b.orderID(), "-o", "qr")}) })
	if err != nil {
		return err
	}
	b.table.compared("`pay qr -o qr` with the bank's code", c, "without the bank's key", "")
	return nil
}

// million compares a ledger of a million payments, made by `pay batch` itself,
// with one of a thousand; and the memory of making them.
func (b *bench) million() error {
	few, many := 1000, b.sized(20_000, 1_000_000)
	ten, err := b.peak("ten", b.sized(2000, 10_000))
	if err != nil {
		return err
	}
	idOfFew := b.next()
	if _, err := b.peak("few", few); err != nil {
		return err
	}
	idOfMany := b.next()
	most, err := b.peak("many", many)
	if err != nil {
		return err
	}
	b.table.row(fmt.Sprintf("peak memory, `pay batch` of %d", many), mebibytes(most), fmt.Sprintf("of %d: %s", b.sized(2000, 10_000), mebibytes(ten)), fmt.Sprintf("%.2f", float64(most)/float64(ten)), "at most 1.2, under 80 MiB")
	for _, test := range []struct {
		what, target string
		args         func(id string) []string
	}{
		{"`order status --offline`", "at most 1.3", func(id string) []string { return []string{"order", "status", id, "--offline"} }},
		{"`order list --limit 20`", "at most 1.3", func(string) []string { return []string{"order", "list", "--limit", "20"} }},
		{"`pay qr`", "at most 1.3", func(string) []string { return []string{"pay", "qr", b.orderID()} }},
		{"completion of an order ID", "", func(id string) []string { return []string{"__complete", "order", "status", id[:8]} }},
	} {
		c, err := compare(b.sized(15, 201),
			func() (usage, error) { return b.run(pipeline{b.villapay(test.args(idOfMany)...)}, b.state("many")) },
			func() (usage, error) { return b.run(pipeline{b.villapay(test.args(idOfFew)...)}, b.state("few")) })
		if err != nil {
			return err
		}
		b.table.compared(fmt.Sprintf("%s at %d payments", test.what, many), c, fmt.Sprintf("at %d", few), test.target)
	}
	return b.search(many, "SQLite", b.state("many"), idOfMany)
}
