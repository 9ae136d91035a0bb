package config

import (
	"fmt"
	"strings"
)

// Kind decides the exit code of an [Error].
type Kind int

// The kinds of errors.
const (
	KindUsage  Kind = iota // a flag or an argument: exit 2
	KindConfig             // a variable, the file or the disk: exit 3
	KindSignIn             // VILLAPAY_TOKEN: exit 4
)

// Error is every error of this package except those of a canceled context.
type Error struct {
	Kind    Kind
	Message string // what happened; never holds a secret
	Hint    string // what to do about it, or ""
	Err     error  // the cause, or nil
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, for errors.Is.
func (e *Error) Unwrap() error { return e.Err }

func usage(hint, format string, args ...any) *Error {
	return &Error{Kind: KindUsage, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Suggest returns the candidate that a mistyped word most likely stands for, or
// "". A candidate whose last dotted part is the word wins: region is auth.region.
func Suggest(word string, candidates []string) string {
	best, least := "", min(len(word)/3+1, 2)
	for _, candidate := range candidates {
		last := candidate[strings.LastIndexByte(candidate, '.')+1:]
		if strings.EqualFold(word, candidate) || strings.EqualFold(word, last) {
			return candidate
		}
		for _, form := range []string{candidate, last} {
			d := distance(strings.ToLower(word), strings.ToLower(form))
			if len(word) > 2 && strings.HasPrefix(strings.ToLower(form), strings.ToLower(word)) {
				d = min(d, least)
			}
			if d <= least && (best == "" || d < least) {
				best, least = candidate, d
			}
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements between two words
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above, cost := row[j+1], 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}

// suggestion is the hint for a mistyped word: the nearest candidate, else all.
func suggestion(word string, candidates []string, all string) string {
	if near := Suggest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return all + strings.Join(candidates, ", ")
}
