package cmd

import (
	"bytes"
	"context"
	"flag"
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

var writeGenerated = flag.Bool("generate", false, "write completions/ and man/ instead of checking them")

// TestGenerated checks that the completions and manual pages that releases
// install are those of the commands as they are now. It is their generator too:
// so the library that makes manual pages is never linked into villapay.
func TestGenerated(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]map[string]string{"completions": completionFiles(t), "man": manPages(t)} {
		dir = filepath.Join("..", dir)
		if *writeGenerated {
			saveGenerated(t, dir, want)
		}
		if diff := cmp.Diff(want, readGenerated(t, dir)); diff != "" {
			t.Errorf("%s is out of date: run `go generate ./...` (-want +got)\n%s", filepath.Base(dir), diff)
		}
	}
	checkCask(t, manPages(t))
}

// checkCask compares the manual pages with those that the Homebrew cask lists,
// since a cask knows no wildcard.
func checkCask(t *testing.T, pages map[string]string) {
	t.Helper()
	release, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, entry := range regexp.MustCompile(`(?m)^ *- man/(.*\.1)$`).FindAllSubmatch(release, -1) {
		listed = append(listed, string(entry[1]))
	}
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(pages)), listed); diff != "" {
		t.Errorf("homebrew_casks.manpages in .goreleaser.yaml is out of date (-want +got)\n%s", diff)
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
	root := (&app{Program: &Program{}}).root()
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

// manPage writes a command's page. It bears no date, so that the same commands
// make the same page on any day, and its flags read as they do under --help.
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
	return manOption.ReplaceAllString(text, ".TP\n$1 \\fI$2\\fP\n$3\n")
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
