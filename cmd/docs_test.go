package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// docPages are the documents that people read.
func docPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(pages, "../README.md")
}

// docBlock is a fenced block of a document.
type docBlock struct {
	line     int // of its first line
	language string
	lines    []string
}

func docBlocks(t *testing.T, page string) []docBlock {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []docBlock
	var open *docBlock
	for i, line := range strings.Split(string(data), "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &docBlock{line: i + 2, language: fence}
		case isFence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	if open != nil {
		t.Fatalf("%s: the block of line %d has no end", page, open.line)
	}
	return blocks
}

// docStep is one command of a document and what it is said to show.
type docStep struct {
	line int
	run  string
	want []string // … is anything: in a line some text, alone some lines
	code int      // the exit code: 0, or that of a line "# exit 5"
}

// docSteps are the commands of a document's console blocks, which start with $
// and go on with >, and its sh blocks, each a script.
func docSteps(t *testing.T, page string) []docStep {
	t.Helper()
	var steps []docStep
	for _, block := range docBlocks(t, page) {
		switch block.language {
		case "console":
			steps = append(steps, consoleSteps(t, page, block)...)
		case "sh":
			steps = append(steps, docStep{line: block.line, run: "(set -e\n" + strings.Join(block.lines, "\n") + "\n)", want: []string{"…"}})
		}
	}
	return steps
}

func consoleSteps(t *testing.T, page string, block docBlock) []docStep {
	t.Helper()
	var steps []docStep
	for i, line := range block.lines {
		command, starts := strings.CutPrefix(line, "$ ")
		more, goesOn := strings.CutPrefix(line, "> ")
		code, ends := strings.CutPrefix(line, "# exit ")
		if starts {
			steps = append(steps, docStep{line: block.line + i, run: command})
			continue
		}
		if len(steps) == 0 {
			t.Fatalf("%s:%d: a console block starts with $", page, block.line)
		}
		last := &steps[len(steps)-1]
		switch {
		case goesOn && strings.HasSuffix(last.run, "\\"):
			last.run += "\n" + more
		case ends:
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Fatalf("%s:%d: %v", page, block.line+i, err)
			}
			last.code = n
		default:
			last.want = append(last.want, line)
		}
	}
	return steps
}

// TestDocLinks checks that what documents point to is there.
func TestDocLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range append(docPages(t), "../ARCHITECTURE.md", "../CONTRIBUTING.md") {
		for _, found := range link.FindAllStringSubmatch(readDoc(t, page), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !slices.Contains(headings(readDoc(t, file)), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, file, anchor)
			}
		}
	}
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// headings are a document's anchors as GitHub makes them.
func headings(text string) []string {
	var anchors []string
	for line := range strings.SplitSeq(text, "\n") {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := strings.ReplaceAll(strings.ToLower(title), " ", "-")
			anchors = append(anchors, regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(anchor, ""))
		}
	}
	return anchors
}

// TestDocExamples checks that a document leads to each file of docs/examples.
func TestDocExamples(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, page := range docPages(t) {
		all.WriteString(readDoc(t, page))
	}
	files, err := filepath.Glob("../docs/examples/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		if !strings.Contains(all.String(), "](examples/"+filepath.Base(file)+")") {
			t.Errorf("no document leads to %s", file)
		}
	}
}

// TestDocCodes checks that every exit code, error code and warning that the
// program knows is explained.
func TestDocCodes(t *testing.T) {
	t.Parallel()
	failures, support := readDoc(t, "../docs/errors.md"), readDoc(t, "../docs/support.md")
	for _, code := range []int{
		exitDone, exitInternal, exitUsage, exitConfig, exitDenied, exitRejected,
		exitUnknown, exitUnavailable, exitNotPaid, exitSomeFailed, exitInterrupted,
	} {
		for _, page := range []string{failures, topicExitCodes} {
			if !regexp.MustCompile(fmt.Sprintf(`(?m)^(\||  )%d +`, code)).MatchString(strings.ReplaceAll(page, "| ", "|")) {
				t.Errorf("exit code %d is missing beside %.40q", code, page)
			}
		}
	}
	code := regexp.MustCompile(`(?:Code: +|Code = |e\.Code, e\.Message = |e\.Code, e\.Again, e\.Message = |e\.Code, e\.Message, e\.Err = |\.Code, f\.ExitCode(?:, f\.Retryable)? = |f\.Code, f\.Message, f\.Hint, f\.ExitCode = |[wW]arn[A-Z]\w+ += |Warning\{|response, |busyError\()"([a-z_]+)"`)
	seen := 0
	for _, file := range goFiles(t, "../cmd", "../internal/api", "../internal/kbank", "../internal/ledger", "../internal/order", "../internal/payment") {
		for _, found := range code.FindAllStringSubmatch(readDoc(t, file), -1) {
			seen++
			if !strings.Contains(failures+support, "`"+found[1]+"`") {
				t.Errorf("%s: code %q stands neither in docs/errors.md nor in docs/support.md", file, found[1])
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d codes were found in the program", seen)
	}
}

func goFiles(t *testing.T, dirs ...string) []string {
	t.Helper()
	var all []string
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				all = append(all, file)
			}
		}
	}
	return all
}

// TestDocMentions checks that commands that are mentioned within sentences have
// such a name and such flags.
func TestDocMentions(t *testing.T) {
	t.Parallel()
	mention := regexp.MustCompile("`(?:[A-Z_]+=\\S+ )?villapay ([^`]+)`")
	seen := 0
	for _, page := range append(docPages(t), "../ARCHITECTURE.md", "../CONTRIBUTING.md") {
		for _, found := range mention.FindAllStringSubmatch(readDoc(t, page), -1) {
			seen++
			words, _, _ := strings.Cut(found[1], " | ")
			words, _, _ = strings.Cut(words, " < ")
			if err := understands(strings.Fields(words)); err != nil {
				t.Errorf("%s: villapay %s: %v", page, found[1], err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d mentions were found", seen)
	}
}

func understands(words []string) error {
	root := newApp(&Program{}, nil).root()
	if words[0] == "help" {
		words = words[1:]
	}
	command, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if command.HasSubCommands() && (len(rest) == 0 && command == root || len(rest) > 0 && !strings.HasPrefix(rest[0], "-")) {
		return errors.New("there is no such command")
	}
	if err := command.ParseFlags(rest); !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return nil
}

// TestDocPictureScans reads the code in the README's picture as a phone would.
func TestDocPictureScans(t *testing.T) {
	t.Parallel()
	scanner, err := exec.LookPath("zbarimg")
	if err != nil {
		t.Skip("zbarimg is not installed")
	}
	code, err := exec.CommandContext(t.Context(), scanner, "-q", "--raw", "../docs/pay-qr.png").Output()
	if err != nil || !strings.HasPrefix(string(code), "000201") {
		t.Errorf("the code says %q, %v", code, err)
	}
}
