package render

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
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
	for _, r := range cluster {
		width += displaywidth.Rune(r)
	}
	if emojiSequence(cluster) {
		return 2
	}
	return width
}

// emojiSequence tells whether several runes make one emoji.
func emojiSequence(cluster string) bool {
	first := true
	for _, r := range cluster {
		if !first && (r == zwj || r == vs16 || (r >= 0x1f1e6 && r <= 0x1f1ff) || (r >= 0x1f3fb && r <= 0x1f3ff)) {
			return true
		}
		first = false
	}
	return false
}

// width is the number of cells that text takes on one line.
func width(text string) int {
	if !suspicious(text) {
		return len(text)
	}
	total := 0
	clusters(text, func(_ string, cells int) { total += cells })
	return total
}

// widest is the width of the widest part of text, parted at any of the
// separators: of its lines, or of its words, below which wrapping has to break
// one.
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
	for i, word := range strings.Split(unglued(text, limit), " ") {
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

// unglued lets go of what should stay on one line but has no room there.
func unglued(text string, limit int) string {
	if !strings.Contains(text, glue) {
		return text
	}
	words := strings.Split(text, " ")
	for i, word := range words {
		if width(word) > limit {
			words[i] = strings.ReplaceAll(word, glue, " ")
		}
	}
	return strings.Join(words, " ")
}

// standIns replace, for the time that tablewriter measures a text, the characters
// that it measures otherwise than terminals draw them: a red heart or a keycap as
// one cell, which takes two. Stand-ins come from the private use planes, which
// [Visible] never lets through, so they cannot meet a character of the text.
type standIns struct {
	in  map[string]string
	out []string // pairs for strings.NewReplacer
}

const (
	standFirst = '\U000f0000' // one for each cluster
	standFill  = '\U00100000' // for its further cells
)

func (s *standIns) hide(text string) string {
	if !suspicious(text) {
		return text
	}
	var out strings.Builder
	clusters(text, func(cluster string, cells int) {
		if cells > 0 && twwidth.Width(cluster) != cells {
			cluster = s.standIn(cluster, cells)
		}
		out.WriteString(cluster)
	})
	return out.String()
}

func (s *standIns) standIn(cluster string, cells int) string {
	if in, ok := s.in[cluster]; ok {
		return in
	}
	if len(s.in) > 0xfff0 {
		return cluster // the plane is used up: a crooked line, but the text
	}
	if s.in == nil {
		s.in = map[string]string{}
	}
	in := string(standFirst+rune(len(s.in))) + strings.Repeat(string(standFill), cells-1) //nolint:gosec // a few emoji, no overflow
	s.in[cluster] = in
	s.out = append(s.out, in, cluster)
	return in
}

func (s *standIns) show(text string) string {
	if len(s.out) == 0 {
		return text
	}
	return strings.NewReplacer(s.out...).Replace(text)
}
