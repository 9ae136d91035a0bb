package render

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// clusters calls yield for each user-perceived character of text, with the
// number of cells it takes.
func clusters(text string, yield func(cluster string, cells int)) {
	for g := displaywidth.StringGraphemes(text); g.Next(); {
		cluster := g.Value()
		yield(cluster, clusterWidth(cluster))
	}
}

// clusterWidth is the sum of the runes' widths (right for Thai, whose sara am
// takes a cell of its own), but two for joined emoji, flags, skin tones and
// keycaps, as terminals that know them draw them.
func clusterWidth(cluster string) int {
	width := 0
	for i, r := range cluster {
		emoji := r == '\u200d' || r == '\ufe0f' || (r >= 0x1f1e6 && r <= 0x1f1ff) || (r >= 0x1f3fb && r <= 0x1f3ff)
		if i > 0 && emoji {
			return 2
		}
		width += displaywidth.Rune(r)
	}
	return width
}

func printableASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// width is the number of cells that text takes on one line.
func width(text string) int {
	if printableASCII(text) {
		return len(text)
	}
	total := 0
	clusters(text, func(_ string, cells int) { total += cells })
	return total
}

// widest is the width of the widest part of text, split at any of the separators:
// of its lines, or of its words, below which wrapping has to break one.
func widest(text, separators string) int {
	cells := 0
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		cells = max(cells, width(part))
	}
	return cells
}

// wrap breaks each line of text as [wrapLine] does.
func wrap(text string, limit int) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, wrapLine(line, limit)...)
	}
	return lines
}

// wrapLine breaks text into lines of at most limit cells, at spaces where it can
// and else between characters. Nothing is lost but the space at a break. The
// result has at least one line; a character wider than limit has its own.
func wrapLine(text string, limit int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	flush := func() {
		lines = append(lines, line.String())
		line.Reset()
		used = 0
	}
	for i, word := range strings.Split(allowBreaks(text, limit), " ") {
		cells := width(word)
		if i > 0 {
			if used > 0 && used+1+cells > limit {
				flush()
			} else if used < limit {
				line.WriteByte(' ')
				used++
			}
		}
		if used+cells <= limit {
			line.WriteString(word)
			used += cells
			continue
		}
		clusters(word, func(cluster string, cells int) {
			if used > 0 && used+cells > limit {
				flush()
			}
			line.WriteString(cluster)
			used += cells
		})
	}
	flush()
	return lines
}

// allowBreaks breaks what should stay on one line but has no room there.
func allowBreaks(text string, limit int) string {
	if !strings.Contains(text, noBreak) {
		return text
	}
	words := strings.Split(text, " ")
	for i, word := range words {
		if width(word) > limit {
			words[i] = strings.ReplaceAll(word, noBreak, " ")
		}
	}
	return strings.Join(words, " ")
}

// Truncate sanitizes text and cuts it to the terminal's width, an ellipsis at its
// end where something is missing. A pipe gets all of it.
func Truncate(s Screen, text string) string {
	text = s.Text(text)
	if !s.TTY || width(text) <= s.columns() {
		return text
	}
	kept, used := "", 0
	clusters(text, func(cluster string, cells int) {
		if used += cells; used < s.columns() {
			kept += cluster
		}
	})
	if !s.legacy() {
		return kept + "…"
	}
	return kept + "~"
}

// Wrap sanitizes text and breaks it, at blanks where it can, into lines that fit
// the terminal. A pipe gets one line.
func Wrap(s Screen, text string) []string {
	text = s.Text(text)
	if !s.TTY {
		return []string{text}
	}
	return wrapLine(text, s.columns())
}

// standIns replace lines for the time that tablewriter measures them: it takes a
// red heart or a keycap for one cell, where terminals draw two. A stand-in has
// as many characters as its line has cells. They come from the private use
// planes, which no sanitized text holds. Pairs for strings.NewReplacer.
type standIns []string

func (s *standIns) hide(line string) string {
	cells, n := width(line), len(*s)/2
	if printableASCII(line) || cells == 0 || n > 0xfff0 { // then a crooked line, but the text
		return line
	}
	in := string('\U000f0000'+rune(n)) + strings.Repeat("\U00100000", cells-1)
	*s = append(*s, in, line)
	return in
}

func (s standIns) show(text string) string { return strings.NewReplacer(s...).Replace(text) }
