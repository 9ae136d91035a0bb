package cmd

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

//go:generate go test -run TestGenerated . -generate

var writeGenerated = flag.Bool("generate", false, "write completions/, man/ and the cask's list of pages instead of checking them")

// TestGenerated checks that the completions and manual pages that releases
// install are those of the commands as they are now. It is their generator too:
// so the library that makes manual pages is never linked into villapay.
func TestGenerated(t *testing.T) {
	t.Parallel()
	pages := manPages(t)
	keepDates(pages, readGenerated(t, "../man"))
	for dir, want := range map[string]map[string]string{"completions": completionFiles(t), "man": pages} {
		dir = filepath.Join("..", dir)
		if *writeGenerated {
			saveGenerated(t, dir, want)
		}
		if diff := cmp.Diff(want, readGenerated(t, dir)); diff != "" {
			t.Errorf("%s is out of date: run `go generate ./...` (-want +got)\n%s", filepath.Base(dir), diff)
		}
	}
	checkCask(t, slices.Sorted(maps.Keys(pages)))
}

// checkCask compares the manual pages with those that the Homebrew cask lists,
// since a cask knows no wildcard.
func checkCask(t *testing.T, pages []string) {
	t.Helper()
	const path = "../.goreleaser.yaml"
	release, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, page := range pages {
		list.WriteString("      - man/" + page + "\n")
	}
	want := regexp.MustCompile(`(?m)(^ +- man/.*\.1\n)+`).ReplaceAllLiteral(release, []byte(list.String()))
	if *writeGenerated {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(want), string(release)); diff != "" {
		t.Errorf("homebrew_casks.manpages is out of date: run `go generate ./...` (-want +got)\n%s", diff)
	}
}

// completionFiles are what `villapay completion` writes, under the names that
// shells look for.
func completionFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for shell, name := range map[string]string{
		"bash": "villapay.bash", "zsh": "_villapay", "fish": "villapay.fish", "powershell": "villapay.ps1",
	} {
		var out, stderr bytes.Buffer
		program := &Program{Out: &out, Err: &stderr, LookupEnv: func(string) (string, bool) { return "", false }, Now: time.Now}
		if code := Run(context.Background(), program, []string{"completion", shell}); code != 0 {
			t.Fatalf("completion %s: exit %d: %s", shell, code, &stderr)
		}
		files[name] = out.String()
	}
	return files
}

// manPages are one page a command and one a help topic.
func manPages(t *testing.T) map[string]string {
	t.Helper()
	root := newApp(&Program{}, nil).root()
	pages, topics := map[string]string{}, ""
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		if c.Name() == "sandbox" {
			c.Long = verbatim(sandboxPage())
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		pages[name] = manPage(t, c)
		for _, sub := range c.Commands() {
			switch {
			case sub.IsAdditionalHelpTopicCommand():
				page := topicPage(sub)
				pages["villapay-"+sub.Name()+".1"] = manPage(t, page)
				topics += ", \\fBvillapay-" + sub.Name() + "(1)\\fP"
			case sub.IsAvailableCommand():
				add(sub)
			}
		}
	}
	add(root)
	pages["villapay.1"] = strings.TrimSuffix(pages["villapay.1"], "\n") + topics + "\n"
	for name, page := range pages {
		pages[name] = withSections(t, name, page)
	}
	return pages
}

// topicPage makes a command of a help topic that reads well as a manual page: it has
// no flags, and its tables stay as they are.
func topicPage(c *cobra.Command) *cobra.Command {
	page := &cobra.Command{Use: c.Use, Short: c.Short, Long: verbatim(c.Long), DisableFlagsInUseLine: true}
	page.Flags().Bool("help", false, "")
	page.Flags().Lookup("help").Hidden = true
	(&cobra.Command{Use: "villapay"}).AddCommand(page)
	return page
}

// verbatim keeps a text's lines as they are.
func verbatim(text string) string { return "```\n" + strings.Trim(text, "\n") + "\n```" }

// manOption is a flag as the library writes it, its default where the value stands.
var manOption = regexp.MustCompile(`(?m)^(?:\.PP\n)?(\\fB-.*\\fP)(?:\[=\]|="?([^"\n]*)"?)\n\t(.*)\n\n`)

// manPage writes a command's page, whose flags read as they do under --help. Its
// date is added later.
func manPage(t *testing.T, c *cobra.Command) string {
	t.Helper()
	c.DisableAutoGenTag = true
	c.InitDefaultHelpFlag()
	c.LocalFlags().VisitAll(likeHelp)
	day := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	var page bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Date: &day, Source: "villapay", Manual: "villapay manual"}, &page); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(page.String(), `"`+day.Format("Jan 2006")+`"`, `""`, 1)
	text = manOption.ReplaceAllString(text, ".TP\n$1 \\fI$2\\fP\n$3\n")
	text = strings.ReplaceAll(text, " \\fI\\fP\n", "\n")
	return manDash.ReplaceAllStringFunc(text, func(flag string) string { return strings.ReplaceAll(flag, "-", `\-`) })
}

var (
	manInherited = regexp.MustCompile(`(?s)\.SH OPTIONS INHERITED FROM PARENT COMMANDS\n.*?\n\n`)
	manDash      = regexp.MustCompile(`(?m)(^|[ |\[(]|\\fB)--?[A-Za-z]`) // else - may become a hyphen that no shell knows
	manDate      = regexp.MustCompile(`(?m)^(\.TH "[^"]*" "1" )"([^"]*)"`)
)

// keepDates gives each page the date of its last change: a page that differs in
// nothing else has the date it had.
func keepDates(pages, before map[string]string) {
	for name, page := range pages {
		date := time.Now().UTC().Format(time.DateOnly)
		if old := before[name]; manDate.ReplaceAllString(old, `$1""`) == page {
			if had := manDate.FindStringSubmatch(old)[2]; had != "" {
				date = had
			}
		}
		pages[name] = manDate.ReplaceAllString(page, `$1"`+date+`"`)
	}
}

// withSections gives a page the sections that people look for: villapay(1) has
// them whole, others point there.
func withSections(t *testing.T, name, page string) string {
	t.Helper()
	if !strings.Contains(page, ".SH OPTIONS") { // a topic
		return page
	}
	body, see, ok := strings.Cut(page, ".SH SEE ALSO\n")
	if !ok {
		t.Fatalf("%s has no SEE ALSO", name)
	}
	if name != "villapay.1" {
		body = manInherited.ReplaceAllLiteralString(body, ".SH GLOBAL OPTIONS\nSee \\fBvillapay(1)\\fP.\n\n")
		return body + ".SH EXIT STATUS\n0 if done; \\fBvillapay-exit-codes(1)\\fP lists the others.\n\n.SH ENVIRONMENT\nSee \\fBvillapay-environment(1)\\fP.\n\n.SH FILES\nSee \\fBvillapay(1)\\fP.\n\n.SH SEE ALSO\n" + see
	}
	return body + ".SH EXIT STATUS\n" + manTable(t, topicExitCodes, `\d+`) + "\n.SH ENVIRONMENT\n" + manTable(t, topicEnvironment, `[A-Z_]+`) +
		"\n.SH FILES\n" + manTable(t, manFiles, `\S+`) + "\n.SH SEE ALSO\n" + see
}

// manFiles is what is kept where on Linux.
const manFiles = `
  ~/.config/villapay/config.yaml             environments and addresses; no secrets
  ~/.local/state/villapay/ledger.db          payments and events, unless the ledger is elsewhere
  ~/.local/state/villapay/tokens             the session, encrypted where there is a keyring
  ~/.local/state/villapay/log/villapay.log   calls and failures, without bodies and secrets
  ~/.local/state/villapay/sandbox/           the sandbox's orders; none real
`

// manTable makes the tables of a help text, whose first column is as given, a
// list.
func manTable(t *testing.T, text, first string) string {
	t.Helper()
	row, more := regexp.MustCompile(`^  (`+first+`) {2,}(.*)$`), regexp.MustCompile(`^ {5,}(\S.*)$`)
	var list strings.Builder
	within := false
	for line := range strings.SplitSeq(text, "\n") {
		if found := row.FindStringSubmatch(line); found != nil {
			fmt.Fprintf(&list, ".TP\n\\fB%s\\fP\n%s\n", found[1], found[2])
			within = true
		} else if found := more.FindStringSubmatch(line); found != nil && within {
			list.WriteString(found[1] + "\n")
		} else {
			within = false
		}
	}
	if list.Len() == 0 {
		t.Fatalf("no table in %.60q", text)
	}
	return list.String()
}

// likeHelp puts a flag's default behind its usage and the name of its value in
// the default's place.
func likeHelp(f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	if !slices.Contains([]string{"", "0", "0s", "[]", "false"}, f.DefValue) {
		usage += " (default " + f.DefValue + ")"
	}
	f.Usage, f.DefValue = usage, name
}

// readGenerated reads a directory's files by name.
func readGenerated(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(data)
	}
	return files
}

// saveGenerated makes a directory hold these files and no others.
func saveGenerated(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name := range readGenerated(t, dir) {
		if files[name] == "" {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
