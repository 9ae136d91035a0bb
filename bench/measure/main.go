//go:build unix

// Command measure measures villapay against plain tools and against what is
// possible at best, and prints a table. bench/run.sh builds what it needs.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	serving := flag.Bool("serve", false, "answer orders on loopback; prints the URLs")
	dir := flag.String("dir", "", "where the built villapay and bare are, and room for everything else")
	quick := flag.Bool("quick", false, "few rounds and small ledgers: shows that everything runs")
	only := flag.String("only", "", "the first word of the one part to measure")
	flag.Parse()
	var err error
	if *serving {
		err = serve(os.Stdout, bundle(*dir))
	} else {
		err = measure(os.Stdout, *dir, *quick, *only)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// bench is one run of all measurements.
type bench struct {
	dir   string
	quick bool
	api   string // the server's URL; see serve
	tls   string // the same over TLS
	env   []string
	table *table
	made  int // order IDs given out
}

func measure(out io.Writer, dir string, quick bool, only string) error {
	b := &bench{dir: dir, quick: quick, table: &table{out: out}}
	stop, err := b.startServer()
	if err != nil {
		return err
	}
	defer stop()
	b.env = b.environment()
	if err := b.table.head(dir); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"start-up", b.startUp},
		{"size", b.size},
		{"pay", b.pay},
		{"batch", b.batch},
		{"million", b.million},
		{"webhook", b.webhook},
		{"postgres", b.postgres},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// startServer runs the server as a process of its own, so that its memory and
// its garbage are not those of what is measured.
func (b *bench) startServer() (stop func(), _ error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server := exec.Command(self, "-serve", "-dir", b.dir)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.api, b.tls, _ = strings.Cut(strings.TrimSpace(line), " ")
	return func() { _ = server.Process.Kill(); _ = server.Wait() }, err
}

// bundle is the file of the certificates that the server is trusted by.
func bundle(dir string) string { return filepath.Join(dir, "certificates.pem") }

// environment is a machine's on which villapay was never set up, with a token.
func (b *bench) environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "VILLAPAY_") {
			env = append(env, entry)
		}
	}
	return append(env,
		"VILLAPAY_CONFIG_DIR="+filepath.Join(b.dir, "config"), "VILLAPAY_STATE_DIR="+filepath.Join(b.dir, "state"),
		"VILLAPAY_BASE_URL="+b.api+"/0ms", "VILLAPAY_TOKEN=token", "CI=1")
}

// sized chooses by the mode.
func (b *bench) sized(quick, full int) int {
	if b.quick {
		return quick
	}
	return full
}

// orderID gives an order ID that was never used before.
func (b *bench) orderID() string {
	id := b.next()
	b.made++
	return id
}

// last is the ID that orderID gave last.
func (b *bench) last() string { return fmt.Sprintf("4925%08d", b.made-1) }

// next is the ID that orderID gives next.
func (b *bench) next() string { return fmt.Sprintf("4925%08d", b.made) }

func (b *bench) villapay(args ...string) []string {
	return append([]string{filepath.Join(b.dir, "villapay")}, args...)
}
