package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// change sets the value of the entry at path, or removes the entry if value is nil.
type change struct {
	path  []string
	value *yaml.Node
}

// with returns the document after a change. The change is made to the tree, which
// is what the file must mean afterwards, and to the lines of its entry alone,
// which keeps the layout. If the two differ, the change is rejected.
func (d *document) with(c change) (*document, error) {
	if c.value != nil && d.count(c.path) > 1 {
		return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s holds %s twice", d.path, strings.Join(c.path, ".")), Hint: "remove it with `villapay env unset` first"}
	}
	want, err := parseYAML(d.text)
	if err != nil {
		return nil, fmt.Errorf("read %s again: %w", d.path, err)
	}
	if err := c.apply(want); err != nil {
		return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s: %s", d.path, err), Hint: "repair it by hand"}
	}
	texts := []string{c.splice(d, want)}
	if !strings.Contains(d.text, "#") { // such as a file of JSON: no comment to lose
		texts = append(texts, encode(want))
	}
	for _, text := range texts {
		after, err := newDocument(d.path, text)
		switch {
		case err != nil || !same(after.root, want):
		case c.value == nil && after.count(c.path) > 0: // a key that stood there twice
			return after.with(c)
		default:
			return after, nil
		}
	}
	return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s is laid out in a way that cannot be edited without losing comments", d.path), Hint: "change it by hand"}
}

// count returns how often the last key of path stands in its mapping.
func (d *document) count(path []string) int {
	at := d.root
	for _, name := range path[:len(path)-1] {
		if _, at = entry(at, name); at == nil {
			return 0
		}
	}
	n := 0
	for i := 0; at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
		if k := at.Content[i]; k.Kind == yaml.ScalarNode && k.Value == path[len(path)-1] {
			n++
		}
	}
	return n
}

// entry returns the first entry of that name in a mapping, or nil.
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; mapping.Kind == yaml.MappingNode && i+1 < len(mapping.Content); i += 2 {
		if k := mapping.Content[i]; k.Kind == yaml.ScalarNode && k.Value == name {
			return k, mapping.Content[i+1]
		}
	}
	return nil, nil
}

// apply makes the change to a tree.
func (c change) apply(at *yaml.Node) error {
	for i, name := range c.path {
		if null(at) {
			*at = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		if at.Kind != yaml.MappingNode {
			return fmt.Errorf("%s must hold keys, not %s", strings.Join(c.path[:i], "."), kindWord(at))
		}
		key, value := entry(at, name)
		switch {
		case key == nil && c.value == nil:
			return nil
		case key == nil:
			if len(at.Content) == 0 {
				at.Style = 0
			}
			at.Content = append(at.Content, scalar("", name), nest(c.path[i+1:], c.value))
			return nil
		case i < len(c.path)-1:
			at = value
		case c.value == nil:
			k := slices.Index(at.Content, key)
			at.Content = slices.Delete(at.Content, k, k+2)
		default:
			*value = *c.value
		}
	}
	return nil
}

// splice makes the change to the text as far as it can: its caller compares what
// it returns with want, the tree that the change leads to.
func (c change) splice(d *document, want *yaml.Node) string {
	s := splicer{lines: strings.SplitAfter(d.text, "\n"), eol: "\n"}
	if strings.Contains(d.text, "\r\n") {
		s.eol = "\r\n"
	}
	at, parent := d.root, (*yaml.Node)(nil)
	for i, name := range c.path {
		key, value := entry(at, name)
		inFlow := at.Style&yaml.FlowStyle != 0 // {…}
		switch empty := len(at.Content) == 0; {
		case key == nil && c.value == nil:
			return d.text
		case parent != nil && (empty || inFlow):
			return s.replace(parent, at, nest([]string{parent.Value}, want))
		case inFlow:
			return ""
		case empty:
			return s.join(len(s.lines), len(s.lines), s.render("", nest(c.path, c.value)))
		case key == nil:
			last := at.Content[len(at.Content)-2]
			end := s.end(last, at.Content[len(at.Content)-1])
			return s.join(end, end, s.render(s.indent(last), nest(c.path[i:], c.value)))
		case i < len(c.path)-1:
			at, parent = value, key
			_, want = entry(want, name)
		case c.value == nil:
			return s.join(key.Line-1, s.end(key, value), nil)
		default:
			return s.replace(key, value, nest([]string{name}, c.value))
		}
	}
	return ""
}

// splicer changes a text line by line.
type splicer struct {
	lines []string // with their ends
	eol   string
}

// join replaces the lines from first to before end.
func (s splicer) join(first, end int, lines []string) string {
	head := strings.Join(s.lines[:first], "")
	if head != "" && len(lines) > 0 && !strings.HasSuffix(head, "\n") {
		head += s.eol
	}
	return head + strings.Join(lines, "") + strings.Join(s.lines[end:], "")
}

// end returns the line behind an entry: the first one up to which the text reads
// as the entry. Comments and blank lines at its end are not part of it.
func (s splicer) end(key, value *yaml.Node) int {
	want := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, value}}
	end := lastLine(value, key.Line)
	for end < len(s.lines) && !reads(s.lines[key.Line-1:end], want) {
		end++
	}
	return end
}

// indent is the blanks before an entry.
func (s splicer) indent(key *yaml.Node) string {
	line := s.lines[key.Line-1]
	return line[:len(line)-len(strings.TrimLeft(line, " "))]
}

func lastLine(n *yaml.Node, line int) int {
	line = max(line, n.Line)
	for _, child := range n.Content {
		line = lastLine(child, line)
	}
	return line
}

func reads(lines []string, want *yaml.Node) bool {
	root, err := parseYAML(strings.Join(lines, ""))
	return err == nil && same(root, want)
}

// replace writes a new entry over one. A comment behind the old one's only line
// stays in its column if there is room; others are put on lines above.
func (s splicer) replace(key, value, added *yaml.Node) string {
	first, end := key.Line-1, s.end(key, value)
	lines, comments := s.render(s.indent(key), added), s.comments(first, end)
	if end == first+1 && len(comments) == 1 && len(lines) > 0 {
		text := strings.TrimRight(lines[0], "\r\n")
		column := strings.LastIndex(s.lines[first], comments[0])
		lines[0] = text + strings.Repeat(" ", max(1, column-len(text))) + comments[0] + s.eol
		comments = nil
	}
	for i, comment := range comments {
		comments[i] = s.indent(key) + comment + s.eol
	}
	return s.join(first, end, append(comments, lines...))
}

// comments returns the comments in some lines. A # begins one if the lines mean
// the same without what follows.
func (s splicer) comments(first, end int) []string {
	lines := slices.Clone(s.lines[first:end])
	want, err := parseYAML(strings.Join(lines, ""))
	if err != nil {
		return nil
	}
	var found []string
	for i, line := range lines {
		for at, r := range line {
			if r != '#' {
				continue
			}
			if lines[i] = line[:at] + s.eol; reads(lines, want) {
				found = append(found, strings.TrimSpace(line[at:]))
				break
			}
		}
		lines[i] = line
	}
	return found
}

// render writes a mapping as lines, indented and without comments.
func (s splicer) render(indent string, mapping *yaml.Node) []string {
	var lines []string
	for line := range strings.Lines(encode(bare(mapping))) {
		lines = append(lines, indent+strings.TrimSuffix(line, "\n")+s.eol)
	}
	return lines
}

// bare is a node without comments.
func bare(n *yaml.Node) *yaml.Node {
	n = &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Content: slices.Clone(n.Content)}
	for i, child := range n.Content {
		n.Content[i] = bare(child)
	}
	return n
}

// nest wraps a value in mappings.
func nest(path []string, value *yaml.Node) *yaml.Node {
	for _, name := range slices.Backward(path) {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("", name), value}}
	}
	return value
}

// encode writes a tree; "" if it cannot be written, which no caller takes.
func encode(n *yaml.Node) string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if encoder.Encode(n) != nil || encoder.Close() != nil {
		return ""
	}
	return out.String()
}

// same reports whether two trees mean the same here, in the same order: scalars
// are read as their text, and nothing after a colon is an empty mapping.
func same(a, b *yaml.Node) bool {
	if nothing(a) || nothing(b) {
		return nothing(a) && nothing(b)
	}
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, same)
}

func nothing(n *yaml.Node) bool {
	return null(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0
}
