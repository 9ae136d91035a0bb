package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/secret"
	"github.com/villapay/villapay/internal/webhook"
)

// schemas validates what commands print, and remembers every text and number that
// it met, by schema and place.
type schemas struct {
	compiled map[string]*jsonschema.Resolved

	mu   sync.Mutex
	seen map[string]map[any]bool
}

func loadSchemas(t *testing.T) *schemas {
	t.Helper()
	files, err := filepath.Glob("../docs/schema/*.schema.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no schemas", err)
	}
	s := &schemas{compiled: map[string]*jsonschema.Resolved{}, seen: map[string]map[any]bool{}}
	parsed := map[string]*jsonschema.Schema{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".schema.json")
		schema := new(jsonschema.Schema)
		if err := json.Unmarshal([]byte(readDoc(t, file)), schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := "https://raw.githubusercontent.com/villapay/villapay/main/docs/schema/" + filepath.Base(file); schema.ID != want {
			t.Errorf("%s: $id is %s", file, schema.ID)
		}
		parsed[name] = schema
	}
	load := func(uri *url.URL) (*jsonschema.Schema, error) {
		if schema := parsed[strings.TrimSuffix(path.Base(uri.Path), ".schema.json")]; schema != nil {
			return schema, nil
		}
		return nil, fmt.Errorf("there is no schema %s", uri)
	}
	for name, schema := range parsed {
		if s.compiled[name], err = schema.Resolve(&jsonschema.ResolveOptions{Loader: load}); err != nil {
			t.Fatal(name, err)
		}
	}
	return s
}

// take validates every JSON value of a text and returns how many there are.
func (s *schemas) take(t *testing.T, name, text string) int {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		var value any
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return n
		} else if err != nil {
			t.Errorf("%s: %v: %s", name, err, text)
			return n
		}
		if err := s.compiled[name].Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		s.note(t, name, value)
		if object := ownObject(value); object != nil {
			object["unknown"] = true
			if s.compiled[name].Validate(value) == nil {
				t.Errorf("%s: an unknown key is valid", name)
			}
		}
	}
}

// ownObject is the object of a value whose keys are all villapay's own.
func ownObject(value any) map[string]any {
	if list, ok := value.([]any); ok && len(list) > 0 {
		value = list[0]
	}
	object, _ := value.(map[string]any)
	for _, name := range []string{"villapay", "error"} {
		if own, ok := object[name].(map[string]any); ok {
			return own
		}
	}
	return object
}

func (s *schemas) note(t *testing.T, place string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			s.note(t, place+"."+name, inner)
		}
	case []any:
		for _, inner := range value {
			s.note(t, place, inner)
		}
	default:
		// A schema's pattern takes a time that is on no calendar.
		if text, ok := value.(string); ok && strings.HasSuffix(text, "+07:00") {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				t.Errorf("%s: %v", place, err)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.seen[place] == nil {
			s.seen[place] = map[any]bool{}
		}
		s.seen[place][value] = true
	}
}

// prints runs a command and validates all that it prints: n values of a schema on
// stdout, and the error object on stderr if the exit code is not 0.
func (s *schemas) prints(t *testing.T, m *machine, code, n int, name string, args ...string) {
	t.Helper()
	if !slices.Contains(args, "--jq") {
		args = append(args, "-o", "json")
	}
	s.check(t, m.run(t, args...), code, n, name, strings.Join(args, " "))
}

func (s *schemas) check(t *testing.T, r result, code, n int, name, command string) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: exit %d, want %d: %s", command, r.code, code, r.stderr)
	}
	if got := s.take(t, name, r.stdout); got != n {
		t.Errorf("%s: %d values on stdout, want %d:\n%s", command, got, n, r.stdout)
	}
	if r.code == 0 {
		return
	}
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	last := lines[len(lines)-1]
	s.take(t, "error", last)
	var object struct {
		Error struct {
			ExitCode int `json:"exit_code"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(last), &object); err != nil || object.Error.ExitCode != r.code {
		t.Errorf("%s: exit %d, and the error object is %s", command, r.code, last)
	}
}

// What commands print fits the schemas, and each state, exit code and kind that a
// schema lists is printed by some command.
func TestSchemas(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("commands are stopped by signals")
	}
	s := loadSchemas(t)
	t.Run("commands", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *schemas){
			"payments": schemaPayments, "codes": schemaCodes, "batch": schemaBatch, "books": schemaBooks, "sending": schemaSending,
			"other tools": schemaOtherTools, "notifications": schemaNotifications, "sign-in": schemaSignIn, "failures": schemaFailures,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, s)
			})
		}
	})
	for _, listed := range []struct{ place, file, pointer string }{
		{"payment.villapay.state", "payment", "$defs/state"},
		{"payment.villapay.source", "payment", "$defs/known/properties/source"},
		{"payment.villapay.known_from", "payment", "$defs/known/properties/known_from"},
		{"payment.villapay.paid_at_from", "payment", "$defs/known/properties/paid_at_from"},
		{"payment.villapay.paid_by", "payment", "$defs/known/properties/paid_by"},
		{"payment.villapay.qr.kind", "payment", "$defs/known/properties/qr/properties/kind"},
		{"error.error.exit_code", "error", "properties/error/properties/exit_code"},
		{"report.totals.state", "report", "properties/totals/items/properties/state"},
		{"difference.kind", "difference", "properties/kind"},
		{"whoami.store", "whoami", "properties/store"},
		{"whoami.bank_key", "whoami", "properties/bank_key"},
	} {
		for _, value := range schemaEnum(t, listed.file, listed.pointer) {
			if !s.seen[listed.place][value] && value != "keyring" { // which a test has none of
				t.Errorf("%s: no command printed %v", listed.place, value)
			}
		}
	}
	for _, place := range []string{"report.paid_twice.orderid", "payment.villapay.warnings.code", "list.villapay.events.kind", "notification.villapay.warnings.code"} {
		if len(s.seen[place]) == 0 {
			t.Errorf("%s: no command printed one", place)
		}
	}
}

// schemaEnum is what a schema lists at a place.
func schemaEnum(t *testing.T, name, pointer string) []any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(readDoc(t, "../docs/schema/"+name+".schema.json")), &value); err != nil {
		t.Fatal(err)
	}
	for step := range strings.SplitSeq(pointer+"/enum", "/") {
		value = value.(map[string]any)[step]
	}
	return value.([]any)
}

// schemaPayments takes payments of the sandbox through every state that one has.
func schemaPayments(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	s.prints(t, m, 0, 1, "list", "order", "list")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "open")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "open")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "open", "--new")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "extra-fields", "--source", "wechat")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "loose-types")
	s.prints(t, m, 5, 1, "payment", "pay", "qr", "failed-order")
	s.prints(t, m, 5, 0, "payment", "pay", "qr", "refused-amount")
	for _, state := range []string{"Authorized", "Declined", "Reversed", "Voided", "Refunded"} {
		s.prints(t, m, 0, 1, "payment", "pay", "qr", state)
		if state != "Declined" {
			m.run(t, "sandbox", "pay", state)
		}
		m.run(t, "sandbox", "pay", state, "--state", state)
		s.prints(t, m, 0, 1, "payment", "order", "status", state)
		s.prints(t, m, 0, 1, "list", "order", "show", state)
	}
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "Authorized")
	s.prints(t, m, 5, 1, "payment", "pay", "qr", "Refunded")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "canceled")
	s.prints(t, m, 0, 1, "payment", "order", "cancel", "canceled")
	s.prints(t, m, 0, 1, "payment", "order", "void", "Authorized")
	s.prints(t, m, 5, 1, "payment", "order", "status", "Authorized", "--watch")
	s.prints(t, m, 0, 2, "payment", "pay", "qr", "paid", "--watch")
	s.prints(t, m, 8, 1, "payment", "order", "status", "open", "--watch-for", "3s")
	s.prints(t, m, 8, 1, "payment", "order", "status", "open", "--exit-status")
	s.prints(t, m, 8, 1, "list", "order", "status", "open", "canceled", "--exit-status")
	s.prints(t, m, 5, 1, "list", "order", "status", "open", "nosuch")
	later := m.with(clockVariable + "=" + time.Now().Add(2*time.Hour).Format(time.RFC3339Nano))
	s.prints(t, later, 0, 1, "payment", "order", "status", "open", "--offline")
	s.prints(t, later, 0, 1, "list", "order", "list", "--limit", "0")
	s.prints(t, m, 0, 1, "list", "order", "list", "--limit", "0")
}

// schemaCodes shows every kind of code.
func schemaCodes(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "no-expiry")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "bank-down-always")
	m.run(t, "env", "set", "kbank.sof_wechat", "WeChat")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "w", "--source", "wechat")
	m.run(t, "env", "set", "kbank.sof_qr", "")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "reference")
	m.run(t, "env", "set", "qr_content", "https://pay.example/?order={{.id}}")
	s.prints(t, m, 0, 1, "payment", "pay", "qr", "reference")
}

// writeList writes a file and returns its path.
func writeList(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func schemaBatch(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	s.prints(t, m, 9, 3, "payment", "pay", "batch", writeList(t, "orderid\n1\nrefused-amount\nfailed-order\n"))
	s.prints(t, m, 6, 2, "payment", "pay", "batch", writeList(t, "1\ntimed-out\n"))
	s.prints(t, m, 0, 1, "list", "order", "list", "--state", "unknown,rejected")
	s.prints(t, m, 2, 0, "payment", "pay", "batch", writeList(t, "a b\n"))
}

// schemaBooks adds up what came in, and compares it with a list.
func schemaBooks(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	s.prints(t, m, 0, 1, "report", "order", "report")
	for _, id := range []string{"paid-twice", "paid-1", "Voided", "Refunded", "open"} {
		m.run(t, "pay", "qr", id)
		if id != "open" {
			m.run(t, "sandbox", "pay", id)
		}
		switch id {
		case "paid-twice":
			m.run(t, "order", "status", id)
			m.run(t, "sandbox", "pay", id)
		case "Voided", "Refunded":
			m.run(t, "order", "status", id)
			m.run(t, "sandbox", "pay", id, "--state", id)
		}
		m.run(t, "order", "status", id)
	}
	s.prints(t, m, 0, 1, "report", "order", "report", "--since", "today", "--until", "today")
	s.prints(t, m, 0, 1, "report", "order", "report", "--since", "1h", "--all-envs", "--source", "qr")
	file := writeList(t, "orderid,amount\npaid-twice,1.00\nopen,300.00\nnosuch,5\n")
	s.prints(t, m, 9, 5, "difference", "order", "reconcile", file, "--since", "today", "--until", "today", "--jq", ".[]")
	s.prints(t, m, 0, 0, "difference", "order", "reconcile", writeList(t, "orderid,amount\n"), "--since", "2020-01-01", "--until", "2020-01-02", "--jq", ".[]")
	s.prints(t, m, 0, 1, "list", "order", "find", "paid")
	s.prints(t, m, 5, 1, "list", "order", "find", "nosuch")
	s.prints(t, m, 0, 1, "list", "order", "list", "--unpaid")
}

// schemaSending looks at a payment while it is being made, and interrupts that.
func schemaSending(t *testing.T, s *schemas) {
	arrived := make(chan struct{}, 10)
	served := serveSandbox(t, sandbox.Options{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // before it, a client that goes is not noticed
			arrived <- struct{}{}
			<-r.Context().Done()
		})
	})
	m := newMachine(t, "VILLAPAY_BASE_URL="+served.url)
	making := m.command(t, "pay", "qr", "4925", "-o", "json")
	var stdout, stderr bytes.Buffer
	making.Stdout, making.Stderr = &stdout, &stderr
	if err := making.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	s.prints(t, m, 0, 1, "payment", "order", "status", "4925", "--offline")
	s.prints(t, m, 0, 1, "list", "order", "list", "--state", "sending")
	if err := making.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = making.Wait()
	s.check(t, result{making.ProcessState.ExitCode(), stdout.String(), stderr.String()}, 130, 0, "payment", "pay qr, interrupted")
}

// schemaOtherTools asks about orders that another tool made, and about one whose API
// says paid in a word of its own.
func schemaOtherTools(t *testing.T, s *schemas) {
	served := serveSandbox(t, sandbox.Options{}, nil)
	theirs, ours := newMachine(t, "VILLAPAY_BASE_URL="+served.url), newMachine(t, "VILLAPAY_BASE_URL="+served.url)
	for _, id := range []string{"paid", "declined", "bare-success"} {
		s.prints(t, theirs, 0, 1, "payment", "pay", "qr", id)
	}
	s.prints(t, theirs, 0, 1, "payment", "order", "status", "paid")
	s.prints(t, ours, 0, 1, "payment", "order", "status", "paid")
	s.prints(t, ours, 0, 1, "payment", "pay", "qr", "paid")
	s.prints(t, ours, 0, 1, "list", "order", "show", "paid")
	s.prints(t, ours, 0, 1, "payment", "order", "status", "declined")
	s.prints(t, theirs, 0, 1, "payment", "order", "status", "bare-success")
	theirs.run(t, "env", "set", "status_paid", "success")
	s.prints(t, theirs, 0, 1, "payment", "order", "status", "bare-success")
	s.prints(t, ours, 0, 1, "report", "order", "report")
}

// schemaNotifications passes notifications on to a reader, and writes them again.
func schemaNotifications(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox", "VILLAPAY_WEBHOOK_SECRET=skey_test_1")
	for _, id := range []string{"1", "2"} {
		if r := m.run(t, "pay", "qr", id); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	l := m.listen(t)
	for _, send := range [][]string{{"1"}, {"1"}, {"1", "--state", "Voided"}, {"2", "--fault", "amount"}, {"2", "--fault", "state"}} {
		if r := m.run(t, append([]string{"webhook", "send", "--to", l.url}, send...)...); r.code != 0 {
			t.Errorf("send %v: %s", send, r.stderr)
		}
	}
	amount, err := order.ParseAmount("300.0")
	if err != nil {
		t.Fatal(err)
	}
	body, err := webhook.Compose(order.Payment{OrderID: "3", BankOrderID: "order_test_3", Amount: amount, Currency: "THB"}, "Settled", "", secret.New("skey_test_1"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if status := l.post(t, body); status != http.StatusOK {
		t.Errorf("a notification of an unknown order: %d", status)
	}
	var lines strings.Builder
	for range 6 {
		lines.WriteString(l.line(t))
	}
	if n := s.take(t, "notification", lines.String()); n != 6 {
		t.Errorf("%d notifications", n)
	}
	if code := l.stop(t); code != 0 {
		t.Errorf("the listener: exit %d", code)
	}
	s.prints(t, m, 0, 6, "notification", "webhook", "replay", "--since", "1h")
	s.prints(t, m, 0, 1, "payment", "order", "status", "1", "--offline")
}

func schemaSignIn(t *testing.T, s *schemas) {
	m := signInMachine(t, cognito.ClientID)
	s.prints(t, m, 4, 0, "whoami", "whoami")
	signed := m.with("VILLAPAY_USERNAME=ann", "VILLAPAY_PASSWORD="+password)
	s.prints(t, signed, 0, 1, "whoami", "login", "--store", "file")
	s.prints(t, m, 0, 1, "whoami", "whoami")
	s.prints(t, m.with("VILLAPAY_KBANK_SECRET="+testBankKey), 0, 1, "whoami", "whoami")
	s.prints(t, m.with("VILLAPAY_TOKEN=eyJhbGciOiJub25lIn0.e30.x"), 0, 1, "whoami", "whoami")
	s.check(t, m.pipe(t, testBankKey, "login", "--kbank-secret", "-o", "json"), 0, 1, "whoami", "login --kbank-secret")
	s.prints(t, m, 0, 1, "whoami", "logout")
}

// schemaFailures ends commands with the exit codes that other tests of schemas do
// not end with.
func schemaFailures(t *testing.T, s *schemas) {
	m := newMachine(t, "VILLAPAY_ENV=sandbox")
	s.prints(t, m, 1, 0, "payment", "pay", "qr", "4925", "--jq", `error("no")`)
	s.prints(t, m, 2, 0, "payment", "pay", "qr", "a b")
	s.prints(t, m, 2, 0, "payment", "pay", "nosuch")
	s.prints(t, m.with("VILLAPAY_ENV=nosuch"), 3, 0, "payment", "order", "list")
	s.prints(t, m.with("VILLAPAY_LEDGER=none"), 3, 0, "list", "order", "list")
	s.prints(t, m.with("VILLAPAY_ENV=dev", "VILLAPAY_TOKEN="), 4, 0, "payment", "pay", "qr", "1")
	s.prints(t, m, 4, 0, "payment", "pay", "qr", "forbidden")
	s.prints(t, m, 5, 0, "payment", "order", "status", "nosuch")
	s.prints(t, m, 5, 0, "payment", "pay", "qr", "hostile-error")
	s.prints(t, m, 6, 0, "payment", "pay", "qr", "html-200")
	s.prints(t, m, 7, 0, "payment", "pay", "qr", "throttled-always")
	s.prints(t, m.with("VILLAPAY_ENV=dev", "VILLAPAY_BASE_URL=http://127.0.0.1:1"), 7, 0, "payment", "pay", "qr", "1", "--timeout", "1s")
}

// listening is a `webhook listen -o json` whose output is read through a pipe.
type listening struct {
	process *exec.Cmd
	url     string
	stdout  *os.File
	lines   *bufio.Reader
	stderr  *bufio.Reader
}

// listen starts a listener, on a port that was free a moment ago, and waits until
// it takes notifications.
func (m *machine) listen(t *testing.T, flags ...string) *listening {
	t.Helper()
	c := m.command(t, append([]string{"webhook", "listen", "-o", "json", "--addr", "127.0.0.1:0"}, flags...)...)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	l := &listening{process: c, stdout: read, lines: bufio.NewReader(read), stderr: bufio.NewReader(stderr)}
	t.Cleanup(func() {
		read.Close()
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line, err := l.stderr.ReadString('\n')
	_, rest, found := strings.Cut(line, " on ")
	if err != nil || !found {
		t.Fatalf("the listener says %q, %v", line, err)
	}
	l.url, _, _ = strings.Cut(rest, ";")
	return l
}

// line is the next event.
func (l *listening) line(t *testing.T) string {
	t.Helper()
	line, err := l.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the listener's output ends: %q, %v", line, err)
	}
	return line
}

// post sends a body and returns the status, 0 if there is no answer.
func (l *listening) post(t *testing.T, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// stop ends the listener as a supervisor would and returns its exit code.
func (l *listening) stop(t *testing.T) int {
	t.Helper()
	if err := l.process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	return l.wait()
}

func (l *listening) wait() int {
	_, _ = io.Copy(io.Discard, l.stderr)
	_ = l.process.Wait()
	return l.process.ProcessState.ExitCode()
}
