package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// splice makes the change to the text, touching the lines of its entry alone;
// want is the tree that it leads to. It answers false where it meets a layout
// that it does not know; what it returns is checked by its caller.
func (c change) splice(text string, root, want *yaml.Node) (string, bool) {
	s := splicer{lines: strings.SplitAfter(text, "\n"), eol: "\n"}
	if strings.Contains(text, "\r\n") {
		s.eol = "\r\n"
	}
	at, parent := root, (*yaml.Node)(nil)
	for i, name := range c.path {
		if at.Style&yaml.FlowStyle != 0 && len(at.Content) > 0 {
			return s.rewrite(text, parent, at, want)
		}
		key, value := entry(at, name)
		_, want = entry(want, name)
		switch {
		case key == nil && c.value == nil:
			return text, true
		case key == nil:
			return s.insert(parent, at, nest(c.path[i:], c.value))
		case i < len(c.path)-1:
			parent, at = key, value
		case c.value == nil:
			first, end := s.span(key, value)
			return s.join(first, end, "")
		default:
			return s.replace(key, value, c.value)
		}
	}
	return "", false
}

// rewrite writes the entry anew whose value is a mapping in flow style ({…}).
func (s splicer) rewrite(text string, key, old, want *yaml.Node) (string, bool) {
	if key == nil || want == nil {
		return "", false
	}
	first, end := s.span(key, old)
	lines, ok := s.render(key.Column-1, nest([]string{key.Value}, want))
	joined, _ := s.join(first, end, lines)
	return joined, ok && commentsIn(joined, text)
}

type splicer struct {
	lines []string // with their ends
	eol   string
}

// join replaces the lines from first to before end.
func (s splicer) join(first, end int, text string) (string, bool) {
	head := strings.Join(s.lines[:first], "")
	if head != "" && text != "" && !strings.HasSuffix(head, "\n") {
		head += s.eol
	}
	return head + text + strings.Join(s.lines[end:], ""), true
}

// span returns the lines of an entry: its key's line, and those below which are
// indented more or close a bracket. Blank and comment lines at its end are not
// part of it.
func (s splicer) span(key, value *yaml.Node) (first, end int) {
	first = key.Line - 1
	end = first + 1
	leaf, block := lastLeaf(key, value)
	for i := end; i < len(s.lines); i++ {
		line := strings.TrimLeft(s.lines[i], " ")
		indent := len(s.lines[i]) - len(line)
		line = strings.TrimSpace(line)
		inBlock := block && i >= leaf.Line && indent >= leaf.Column
		switch {
		case line == "" || line[0] == '#' && !inBlock:
		case indent >= key.Column || indent == key.Column-1 && (line == "-" || strings.HasPrefix(line, "- ") || strings.ContainsAny(line[:1], "]}")):
			end = i + 1
		default:
			return first, end
		}
	}
	return first, end
}

// lastLeaf returns the key of the last value within an entry, and whether that
// is a block of text (| or >), in which a # is no comment.
func lastLeaf(key, value *yaml.Node) (leaf *yaml.Node, block bool) {
	for value.Kind == yaml.MappingNode && len(value.Content) > 0 {
		key, value = value.Content[len(value.Content)-2], value.Content[len(value.Content)-1]
	}
	return key, value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// insert writes the entries of added as the last ones of the mapping at, which
// parent is the key of; the file's own mapping has no parent.
func (s splicer) insert(parent, at, added *yaml.Node) (string, bool) {
	if n := len(at.Content); n > 0 {
		last := at.Content[n-2]
		_, end := s.span(last, at.Content[n-1])
		text, ok := s.render(last.Column-1, added)
		joined, _ := s.join(end, end, text)
		return joined, ok
	}
	if parent == nil {
		text, ok := s.render(0, added)
		joined, _ := s.join(len(s.lines), len(s.lines), text)
		return joined, ok
	}
	line := parent.Line
	if at.Line == line && at.Style&yaml.FlowStyle != 0 { // {}
		old := s.lines[line-1]
		before, after, ok := strings.Cut(old[min(at.Column-1, len(old)):], "{}")
		if !ok || before != "" {
			return "", false
		}
		s.lines[line-1] = strings.TrimRight(old[:at.Column-1], " ") + after
	}
	text, ok := s.render(parent.Column+1, added)
	joined, _ := s.join(line, line, text)
	return joined, ok
}

// replace writes a new value behind its key, and keeps a comment behind it in
// its column where there is room.
func (s splicer) replace(key, old, value *yaml.Node) (string, bool) {
	first, end := s.span(key, old)
	added := nest([]string{key.Value}, value)
	text, ok := s.render(key.Column-1, added)
	if !ok || end > first+1 || old.Line != key.Line {
		comments, sure := s.comments(key, old, end)
		joined, _ := s.join(first, end, comments+text)
		return joined, ok && sure
	}
	line := s.lines[first]
	behind := strings.TrimRight(line, "\r\n")
	behind, found := cutValue(behind[min(old.Column-1, len(behind)):], old)
	if !found {
		return "", false
	}
	text = strings.TrimRight(text, "\r\n")
	if comment := strings.TrimLeft(behind, " \t"); comment != "" {
		column := len(strings.TrimRight(line, "\r\n")) - len(comment)
		text += strings.Repeat(" ", max(1, column-len(text))) + comment
	}
	return s.join(first, end, text+line[len(strings.TrimRight(line, "\r\n")):])
}

// comments returns those in the lines of an entry, before end, each on a line of
// its own. It answers false where a # may be one of the value's.
func (s splicer) comments(key, value *yaml.Node, end int) (string, bool) {
	switch {
	case value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		end = value.Line // below it every # is the text's
	case holdsHash(value):
		return "", false
	}
	var out strings.Builder
	for _, line := range s.lines[key.Line-1 : end] {
		if at := strings.IndexByte(line, '#'); at >= 0 {
			out.WriteString(strings.Repeat(" ", key.Column-1) + strings.TrimSpace(line[at:]) + s.eol)
		}
	}
	return out.String(), true
}

// holdsHash tells whether a # stands in a value.
func holdsHash(value *yaml.Node) bool {
	return strings.Contains(value.Value, "#") || slices.ContainsFunc(value.Content, holdsHash)
}

// cutValue returns what stands behind a value of one line that text starts with.
func cutValue(text string, value *yaml.Node) (behind string, ok bool) {
	switch {
	case value.Kind == yaml.SequenceNode:
		_, behind, ok = strings.Cut(text, "]")
		return behind, ok
	case value.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return text[i+1:], true
			}
		}
		return "", false
	case value.Style&yaml.SingleQuotedStyle != 0:
		closing := strings.Index(strings.ReplaceAll(text[min(1, len(text)):], "''", "  "), "'")
		if closing < 0 {
			return "", false
		}
		return text[closing+2:], true
	default:
		if text == "" || strings.HasPrefix(text, "#") { // nothing after the colon
			return text, true
		}
		at := strings.Index(strings.ReplaceAll(text, "\t", " "), " #")
		if at < 0 {
			return "", true
		}
		return text[at:], true
	}
}

// render writes a mapping as lines, indented.
func (s splicer) render(indent int, mapping *yaml.Node) (string, bool) {
	text, err := encode(mapping)
	if err != nil {
		return "", false
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.Repeat(" ", indent))
		out.WriteString(strings.TrimSuffix(line, "\n"))
		out.WriteString(s.eol)
	}
	return out.String(), true
}
