//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// What the batch is measured at.
const (
	latency     = 5 * time.Millisecond // of the server
	concurrency = 32
)

// batch compares orders a second with the most that the latency allows, and with
// as many curls at once.
func (b *bench) batch() error {
	const limit = float64(concurrency) / (float64(latency) / float64(time.Second))
	orders, calls := b.sized(4000, 40_000), b.sized(500, 2000)
	c, err := compare(b.sized(1, 3),
		func() (usage, error) { return b.payBatch("batch", orders, b.slowly()) },
		func() (usage, error) { return b.xargs(calls, b.api+"/"+latency.String()) })
	if err != nil {
		return err
	}
	rate, curls := float64(orders)/c.left.wall.Seconds(), float64(calls)/c.right.wall.Seconds()
	at := fmt.Sprintf("`pay batch`, %d at once, server takes %s", concurrency, latency)
	b.table.row(at, perSecond(rate), "concurrency / latency "+perSecond(limit), fmt.Sprintf("%.2f", rate/limit), "at least 0.6")
	b.table.row(at, perSecond(rate), fmt.Sprintf("`xargs -P %d curl` %s", concurrency, perSecond(curls)), fmt.Sprintf("%.1f", rate/curls), "at least 10")
	return nil
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

// payBatch pays n fresh orders into the ledger of a state directory.
func (b *bench) payBatch(state string, n int, extra ...string) (usage, error) {
	list, err := b.orders(n)
	if err != nil {
		return usage{}, err
	}
	return b.run(pipeline{b.villapay("pay", "batch", list, "--rate", "0", "--concurrency", strconv.Itoa(concurrency), "--quiet")}, append(extra, b.state(state))...)
}

// xargs makes n orders with a curl each.
func (b *bench) xargs(n int, url string) (usage, error) {
	list, err := b.orders(n)
	if err != nil {
		return usage{}, err
	}
	return b.run(pipeline{{"cat", list}, {
		"xargs", "-P", strconv.Itoa(concurrency), "-I{}",
		"curl", "-s", "-o", "/dev/null", "-X", "POST", url + "/qrpayment", "-H", "Authorization: token", "-H", "Content-Type: application/json",
		"-d", `{"orderid":"{}","source":"qr"}`,
	}})
}

// orders writes a file of fresh order IDs. It holds none of them in memory: a
// process is charged for what its parent held when it began.
func (b *bench) orders(n int) (name string, _ error) {
	name = filepath.Join(b.dir, "orders.txt")
	file, err := os.Create(name)
	if err != nil {
		return "", err
	}
	list := bufio.NewWriter(file)
	for range n {
		fmt.Fprintln(list, b.orderID())
	}
	return name, errors.Join(list.Flush(), file.Close())
}

// state puts villapay's state elsewhere.
func (b *bench) state(name string) string {
	return "VILLAPAY_STATE_DIR=" + filepath.Join(b.dir, name)
}
