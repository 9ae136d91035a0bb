package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
	"github.com/villapay/villapay/internal/testport"
)

// TestDocsAreTrue does what the documents say, at a terminal as their reader
// would: each on a fresh computer, one command after the other. What is shown
// there has to be what the document shows, and the exit code too.
func TestDocsAreTrue(t *testing.T) {
	t.Parallel()
	skipped := map[string]bool{}
	done := make(chan string, 1000)
	t.Run("page", func(t *testing.T) {
		for _, page := range docPages(t) {
			t.Run(filepath.Base(page), func(t *testing.T) {
				t.Parallel()
				followPage(t, page, done)
			})
		}
	})
	close(done)
	for prefix := range done {
		skipped[prefix] = true
	}
	for prefix := range docNotRun() {
		if !skipped[prefix] {
			t.Errorf("no document has a command %q any more: take it out of docNotRun", prefix)
		}
	}
}

// docNotRun lists, by how they begin, the commands that a test cannot run.
func docNotRun() map[string]string {
	return map[string]string{
		"go test ":    "is what runs this",
		"go install ": "needs the network",
		"brew ":       "needs the network",
		"sudo ":       "changes the computer",
		"sha256sum ":  "needs a release's files",
		"cosign ":     "needs a release's files",
		"gh ":         "needs the network",
		"scoop ":      "needs Windows",
		"docker ":     "needs a container engine",
		"createuser ": "needs a PostgreSQL server",
		"psql ":       "needs a PostgreSQL server",
		"pg_dump ":    "needs a PostgreSQL server",
		"sqlite3 ":    "needs SQLite's own tool",
	}
}

func followPage(t *testing.T, page string, skipped chan<- string) {
	r := newReader(t)
	for _, step := range docSteps(t, page) {
		if prefix, why := notRun(step.run); prefix != "" {
			t.Logf("line %d is not run: it %s: %s", step.line, why, step.run)
			skipped <- prefix
			continue
		}
		r.follow(t, step)
	}
}

func notRun(command string) (prefix, why string) {
	for prefix, why := range docNotRun() {
		if strings.HasPrefix(command, prefix) {
			return prefix, why
		}
	}
	return "", ""
}

// docReader sits at a shell of a computer of their own.
type docReader struct {
	*terminal
	dir      string
	replaced *strings.Replacer // from the documents' world to this one
	shown    *strings.Replacer // and back
	feed     *os.File          // the shell reads here what to run
	steps    int
}

// docColumns is the width of the window that the documents show.
const docColumns = 120

func newReader(t *testing.T) *docReader {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") //nolint:usetesting // t.TempDir is too long for a cell
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	start := time.Now()
	r := &docReader{dir: dir}
	r.replace(t, serveVilla(t, dir, start))
	pipe := filepath.Join(dir, ".steps")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if r.feed, err = os.OpenFile(pipe, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.feed.Close() })
	shell := exec.CommandContext(t.Context(), "sh", "-c", `exec 4<.steps; while read -r step <&4; do . "$step" 4<&-; printf '\036%s\036' $?; done`)
	shell.Dir, shell.Env = dir, append(docEnv(t, dir), clockVariable+"="+start.Format(time.RFC3339Nano))
	r.terminal = startAt(t, docColumns, 50, shell)
	t.Cleanup(func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }) // what it left in the background
	return r
}

func docEnv(t *testing.T, dir string) []string {
	t.Helper()
	m := newMachine(t)
	return append(m.env, "HOME="+dir, "VILLAPAY_CONFIG_DIR="+filepath.Join(dir, ".config/villapay"), "VILLAPAY_STATE_DIR="+filepath.Join(dir, ".local/state/villapay"),
		"VILLAPAY_TOKEN="+unset, "USER=ann", "TZ=Asia/Bangkok", "TERM=xterm-256color", "LANG=C.UTF-8", "LC_ALL=")
}

// serveVilla puts a stand-in in the place of the dev environment and its sign-in.
func serveVilla(t *testing.T, dir string, start time.Time) (url string) {
	t.Helper()
	url = serveSignInAt(t, slowClock(start))
	config := filepath.Join(dir, ".config", "villapay")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("envs: {dev: {base_url: %q, auth: {endpoint: %q}, kbank: {api_url: %q}}}\n", url, url, url+sandbox.BankPath)
	if err := os.WriteFile(filepath.Join(config, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return url
}

// replace makes the two worlds' names for the same things.
func (r *docReader) replace(t *testing.T, villa string) {
	t.Helper()
	listener, stand := fmt.Sprintf("127.0.0.1:%d", testport.Free(t)), fmt.Sprintf("127.0.0.1:%d", testport.Free(t))
	ledger := os.Getenv("VILLAPAY_TEST_POSTGRES")
	if ledger == "" {
		ledger = "sqlite"
	}
	pairs := []string{
		"https://dev-kpaymentgateway-services.kasikornbank.com", villa + sandbox.BankPath,
		"https://shop.villamarket.com/api/payment3devapi", villa,
		"ap-southeast-1_AbCdEfGhI", cognito.PoolID,
		"4h57kqbr1cv3bs0ul2n8dl0ti5", cognito.ClientID,
		"127.0.0.1:8975", listener,
		"127.0.0.1:8080", stand,
	}
	r.replaced = strings.NewReplacer(append(pairs,
		"villapay webhook listen", "villapay webhook listen --addr "+listener,
		"villapay webhook send", "villapay webhook send --to http://"+listener+"/",
		"postgres://villapay@db.example.com/villapay?sslmode=verify-full", ledger,
		"go run . ", "villapay ",
	)...)
	var back []string
	for i := 0; i < len(pairs); i += 2 {
		back = append(back, pairs[i+1], pairs[i])
	}
	r.shown = strings.NewReplacer(append(back, r.dir, "/home/ann")...)
}

// follow runs one command and compares what came of it.
func (r *docReader) follow(t *testing.T, step docStep) {
	t.Helper()
	r.steps++
	file := filepath.Join(r.dir, fmt.Sprintf(".step%d", r.steps))
	if err := os.WriteFile(file, []byte(r.replaced.Replace(step.run)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := r.written()
	if _, err := r.feed.WriteString(file + "\n"); err != nil {
		t.Fatal(err)
	}
	shown, code := r.result(from)
	want := docNormal(strings.Join(step.want, "\n"))
	got := docNormal(r.shown.Replace(shown))
	if strings.HasSuffix(step.run, "&") { // it says that it has started when it has
		r.until(fmt.Sprintf("line %d: %s\n%s", step.line, step.run, want), func(*vt) bool {
			got = docNormal(r.shown.Replace(strings.ReplaceAll(rendered(r.raw.String()[from:]), "\036", "")))
			return docMatches(want, strings.TrimPrefix(got, fmt.Sprint(code)))
		})
		return
	}
	if code != fmt.Sprint(step.code) {
		t.Errorf("line %d: %s\nends with exit %s; the document says %d\n%s", step.line, step.run, code, step.code, got)
	}
	if !docMatches(want, got) {
		t.Errorf("line %d: %s\nshows something else (-document +villapay):\n%s", step.line, step.run, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
	}
}

func (r *docReader) written() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.raw.Len()
}

// docAnswers is what the reader types when asked.
func docAnswers() map[string]string {
	return map[string]string{"[y/N] ": "n\n", "Password (hidden): ": "Passw0rd!\n", "The bank's secret key (hidden): ": sandbox.BankKey + "\n"}
}

// result waits for a command's end, answers what it asks meanwhile, and returns
// what it showed and its exit code.
func (r *docReader) result(from int) (shown, code string) {
	r.t.Helper()
	asked := from
	r.until("the end of the command", func(*vt) bool {
		text := r.raw.String()
		for question, answer := range docAnswers() {
			if len(text) > asked && strings.HasSuffix(text, question) {
				asked = len(text)
				_, _ = r.pty.WriteString(answer)
			}
		}
		_, end, ended := strings.Cut(text[from:], "\036")
		return ended && strings.Contains(end, "\036")
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	shown, end, _ := strings.Cut(r.raw.String()[from:], "\036")
	code, _, _ = strings.Cut(end, "\036")
	return rendered(shown), code
}

// rendered is what stands on a screen after a command has written to it.
func rendered(raw string) string {
	screen := newVT(1000, 400) // lines that run over the edge stay whole
	screen.feed([]byte(raw))
	return screen.text()
}

// docNormal takes out what differs from run to run, and how tables are laid out.
func docNormal(text string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.NewReplacer("│", "|", "\t", " ").Replace(text), "\n") {
		for _, v := range docPatterns {
			line = v.pattern.ReplaceAllString(line, v.name)
		}
		line = strings.TrimSpace(line)
		last := len(lines) - 1
		switch {
		case line == "", line == "CODE" && last >= 0 && lines[last] == line:
		case strings.HasPrefix(line, "| |") && last >= 0 && strings.Count(lines[last], "|") == strings.Count(line, "|"):
			lines[last] = joinRows(lines[last], line)
		default:
			lines = append(lines, line)
		}
	}
	text = strings.Join(lines, "\n")
	for _, v := range docLongPatterns {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// joinRows puts a row of a table that goes on in the next line together.
func joinRows(row, more string) string {
	cells, rest := strings.Split(row, "|"), strings.Split(more, "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(strings.TrimSpace(cells[i]) + " " + strings.TrimSpace(rest[i]))
	}
	return strings.ReplaceAll(strings.TrimSpace(strings.Join(cells, " | ")), "|  |", "| |")
}

type docPattern struct {
	pattern *regexp.Regexp
	name    string
}

var docPatterns = []docPattern{
	{regexp.MustCompile(`^[╭╮╰╯┬┴├┤┼─+-]+$`), ""},         // a table's rules
	{regexp.MustCompile(`^villapay: waiting for .*`), ""}, // a slow machine
	{regexp.MustCompile(`^[█▀▄ ]{20,}$`), "CODE"},
	{regexp.MustCompile(`(order|chrg|src)_test_[0-9a-f]+`), "${1}_ID"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "CHECKSUM"},
	{regexp.MustCompile(`\buntil \d\d:\d\d:\d\d\b`), "until TIME"},
	{regexp.MustCompile(`\d{13,}\.\d+`), "REFERENCE"},
	{regexp.MustCompile(`"20\d{15}"`), `"TIME"`},
	{regexp.MustCompile(`\d+ ms away`), "MS away"},
	{regexp.MustCompile(`\bwithin \d+ s of\b`), "within SECONDS of"},
	{regexp.MustCompile(`"expires_in": \d+`), `"expires_in": SECONDS`},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+/[A-Z2-7]{20,}/`), "http://127.0.0.1:PORT/TOKEN/"},
	{regexp.MustCompile(`villapay[ /]\S+ \((linux|darwin)/\w+\)`), "villapay VERSION"},
	{regexp.MustCompile(` {2,}`), " "},
}

// docLongPatterns may have been wrapped in a cell.
var docLongPatterns = []docPattern{
	{regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \+07`), "TIME"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+07:00`), "RFC3339"},
	{regexp.MustCompile(` \(20\d\d-\d\d-\d\d [^)]* here\)`), ""}, // the machine's own zone
	{regexp.MustCompile(`[\w-]+@\S+ pid \d+`), "USER@HOST pid PID"},
	{regexp.MustCompile(`(postgres://\S+|/\S+/ledger\.db): writable, intact, payments: \d+, [\d.]+ MB`), "LEDGER: writable"},
}

// docMatches compares what a document shows with what was shown: … in a line
// stands for any text, and a line of its own for any lines.
func docMatches(want, got string) bool {
	pattern := ""
	for line := range strings.SplitSeq(want, "\n") {
		switch line {
		case "…":
			pattern += `(.*\n)*`
		case "":
		default:
			pattern += strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`
		}
	}
	if got != "" {
		got += "\n"
	}
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}
