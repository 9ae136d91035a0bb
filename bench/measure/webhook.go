//go:build unix

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// webhook compares notifications a second, each recorded before it is answered,
// with what a Go server does that only reads and answers.
func (b *bench) webhook() error {
	n, rounds := b.sized(1000, 10_000), b.sized(1, 3)
	if _, err := b.payBatch("webhook", n*(rounds+warmUp)); err != nil {
		return err
	}
	orders, err := b.bankOrders("webhook")
	if err != nil {
		return err
	}
	url, stop, err := b.listen("webhook")
	if err != nil {
		return err
	}
	defer stop()
	same := orders[:n]
	c, err := compare(rounds,
		func() (usage, error) {
			some := orders[:n]
			orders = orders[n:]
			return post(url, some)
		},
		func() (usage, error) { return post(b.api, same) })
	if err != nil {
		return err
	}
	rate := func(u usage) string { return perSecond(float64(n) / u.wall.Seconds()) }
	b.table.row(fmt.Sprintf("`webhook listen`, %d at once", concurrency), rate(c.left), "Go server that records nothing "+rate(c.right), fmt.Sprintf("%.2f", 1/c.ratio()), "")
	return nil
}

// bankOrders lists the ids of the bank orders of a ledger.
func (b *bench) bankOrders(state string) (ids []string, _ error) {
	list := exec.Command(b.villapay()[0], "order", "list", "--limit", "0", "-o", "csv")
	list.Env = append(slices.Clip(b.env), b.state(state))
	out, err := list.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := list.Start(); err != nil {
		return nil, err
	}
	rows := csv.NewReader(out)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, err
	}
	id := slices.Index(header, "id")
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return ids, list.Wait()
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, strings.Clone(row[id]))
	}
}

// key signs the notifications.
const key = "skey_test_1"

// listen starts `webhook listen` and returns where it listens.
func (b *bench) listen(state string) (url string, stop func(), _ error) {
	c := exec.Command(b.villapay()[0], "webhook", "listen", "--addr", "127.0.0.1:0", "-o", "json")
	c.Env = append(slices.Clip(b.env), b.state(state), "VILLAPAY_WEBHOOK_SECRET="+key)
	said, err := c.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = c.Process.Signal(os.Interrupt); _ = c.Wait() }
	line, _ := bufio.NewReader(said).ReadString('\n')
	if url = regexp.MustCompile(`http://[0-9.:]+`).FindString(line); url == "" {
		stop()
		return "", nil, fmt.Errorf("webhook listen did not start: %s", line)
	}
	return url, stop, nil
}

// post sends a settled charge for each order.
func post(url string, orders []string) (usage, error) {
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var senders errgroup.Group
	start := time.Now()
	for range concurrency {
		senders.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(orders) {
					return nil
				}
				resp, err := client.Post(url, "application/json", strings.NewReader(notification(orders[i])))
				if err != nil {
					return err
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					return fmt.Errorf("%s answers %s", url, resp.Status)
				}
			}
		})
	}
	err := senders.Wait()
	return usage{wall: time.Since(start)}, err
}

// notification is the bank's, of a charge that is settled.
func notification(order string) string {
	charge := strings.Replace(order, "order_", "chrg_", 1)
	sum := sha256.Sum256([]byte(charge + "300.0000" + "THB" + "success" + "Settled" + key))
	return fmt.Sprintf(`{"id":%q,"object":"charge","order_id":%q,"amount":300.0,"currency":"THB","status":"success","transaction_state":"Settled",`+
		`"livemode":false,"description":"Order 492500004632","failure_code":null,"failure_message":null,"checksum":"%x"}`, charge, order, sum)
}
