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

// with returns the document after a change of the lines of its entry. If the new
// text does not mean what the change made to the tree means, it is an error.
func (d *document) with(c change) (*document, error) {
	after, err := newDocument(d.path, c.splice(d))
	for text := d.text; err == nil && c.value == nil && after.at(c.path) != nil && after.text != text; { // a key that stands there twice
		text = after.text
		after, err = newDocument(d.path, c.splice(after))
	}
	if err == nil && (after.at(c.path) == nil) == (c.value == nil) && same(after.root, changed(d.root, c.path, c.value)) {
		return after, nil
	}
	return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s is laid out in a way that cannot be edited here: %s", d.path, strings.Join(c.path, ".")), Hint: "write one key a line, or change it by hand"}
}

// changed is a tree after a change.
func changed(n *yaml.Node, path []string, value *yaml.Node) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	after, found := &yaml.Node{Kind: yaml.MappingNode, Style: n.Style}, false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		switch at := len(path) > 0 && key.Kind == yaml.ScalarNode && key.Value == path[0]; {
		case !at:
		case len(path) > 1 && (value == nil || !nothing(child)):
			found, child = true, changed(child, path[1:], value)
		case value != nil && !found:
			found, child = true, nest(path[1:], value)
		default:
			continue
		}
		after.Content = append(after.Content, key, child)
	}
	if value != nil && !found {
		after.Content = append(after.Content, nest(path, value).Content...)
	}
	return after
}

// at returns the first value at path, or nil.
func (d *document) at(path []string) *yaml.Node {
	at := d.root
	for _, name := range path {
		if at != nil {
			_, at = entry(at, name)
		}
	}
	return at
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

// splice makes the change to the text as far as it can: its caller checks what it
// returns.
func (c change) splice(d *document) string {
	s := splicer{lines: strings.SplitAfter(d.text, "\n"), eol: "\n"}
	if strings.Contains(d.text, "\r\n") {
		s.eol = "\r\n"
	}
	at, parent := d.root, (*yaml.Node)(nil)
	if lastLine(at, 0) > len(s.lines) { // YAML knows other line ends too, such as a lone CR
		return d.text
	}
	for i, name := range c.path {
		key, value := entry(at, name)
		inFlow := at.Style&yaml.FlowStyle != 0 // {…}
		switch empty := nothing(at); {
		case key == nil && c.value == nil, !empty && at.Kind != yaml.MappingNode:
			return d.text
		case empty && parent != nil:
			return s.replace(parent, at, nest(c.path[i-1:], c.value))
		case inFlow && parent != nil:
			return s.replace(parent, at, nest([]string{parent.Value}, changed(at, c.path[i:], c.value)))
		case inFlow && !strings.Contains(d.text, "#"): // such as JSON
			return s.join(0, len(s.lines), s.render("", changed(at, c.path, c.value)))
		case empty:
			return s.join(len(s.lines), len(s.lines), s.render("", nest(c.path, c.value)))
		case key == nil:
			last := at.Content[len(at.Content)-2]
			end := s.end(last, at.Content[len(at.Content)-1])
			return s.join(end, end, s.render(s.indent(last), nest(c.path[i:], c.value)))
		case i < len(c.path)-1:
			at, parent = value, key
		case c.value == nil:
			return s.join(key.Line-1, s.end(key, value), nil)
		default:
			return s.replace(key, value, nest([]string{name}, c.value))
		}
	}
	return d.text
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
	for _, comment := range slices.Backward(comments) {
		if !strings.Contains(strings.Join(lines, ""), comment) { // as in {…}
			lines = slices.Insert(lines, 0, s.indent(key)+comment+s.eol)
		}
	}
	return s.join(first, end, lines)
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

// render writes a mapping as indented lines.
func (s splicer) render(indent string, mapping *yaml.Node) []string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if encoder.Encode(mapping) != nil || encoder.Close() != nil {
		return nil // which is not what with looks for
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, indent+strings.TrimSuffix(line, "\n")+s.eol)
	}
	return lines
}

// nest wraps a value in mappings.
func nest(path []string, value *yaml.Node) *yaml.Node {
	for _, name := range slices.Backward(path) {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("", name), value}}
	}
	return value
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
