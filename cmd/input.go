package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/villapay/villapay/internal/table"
)

// openList opens a command's input file; - is stdin. If stdin is a terminal, the hint is
// the same command with the file example.
func (a *app) openList(ctx context.Context, name, example string) (io.ReadCloser, error) {
	if name == "-" && a.InTTY {
		return nil, usageError(a.sameCommand()+" < "+example, "- reads stdin, and stdin is a terminal")
	}
	from, err := a.openInput(ctx, name)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), usageError("", "%s", err))
	}
	return from, nil
}

// sameCommand returns the command line as it was typed, for a shell.
func (a *app) sameCommand() string {
	words := []string{"villapay"}
	for _, word := range a.args {
		words = append(words, shellWord(word))
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a shell, if it has to be.
func shellWord(word string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_=+:,./@", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// lineProblems counts the invalid lines of a list and warns about the first ones.
type lineProblems struct {
	app *app
	n   int
}

// shownProblems is how many invalid lines get a warning.
const shownProblems = 20

func (l *lineProblems) add(problem *table.Error) {
	if l.n++; l.n <= shownProblems {
		l.app.warn("%s", problem)
	}
}

// result returns an error if there are invalid lines.
func (l *lineProblems) result(hint string) error {
	if l.n > shownProblems {
		l.app.warn("and %s more", plural(l.n-shownProblems, "invalid line"))
	}
	if l.n == 0 {
		return nil
	}
	return usageError(hint, "invalid lines: %d", l.n)
}

// explainList turns a read error into the command's error. hint starts the hint. flags
// maps the names of columns to the flags that choose them.
func explainList(err error, hint string, flags map[string]string) error {
	invalid, ok := errors.AsType[*table.Error](err)
	switch {
	case !ok:
		return &localError{err: fmt.Errorf("read the list: %w", err), hint: hint}
	case flags[invalid.Missing] != "":
		return usageError("choose one of these columns with "+flags[invalid.Missing], "%s", invalid)
	}
	if hint != "" {
		hint += "; "
	}
	return usageError(hint+"accepted formats: "+table.Accepted, "%s", invalid)
}
