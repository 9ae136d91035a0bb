package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// change is one edit of the tree: the value of the entry at path from now on,
// or its removal where there is none.
type change struct {
	path  []string
	value *yaml.Node
}

// with returns the document after a change. The change is made to the tree,
// which says what the file must mean afterwards, and to the text, which keeps
// blank lines and columns. Where the text cannot be changed line by line (a file
// in flow style) the tree is written out anew. Either text must read as that
// tree and hold the comments, or the change is refused.
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
	if text, ok := c.splice(d.text, d.root, want); ok {
		if after, err := newDocument(d.path, text); err == nil && same(after.root, want) {
			return after, nil
		}
	}
	text, err := encode(want)
	if err == nil && commentsIn(text, d.text) {
		if after, err := newDocument(d.path, text); err == nil && same(after.root, want) {
			return after, nil
		}
	}
	return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s is laid out in a way that cannot be edited without losing comments", d.path), Hint: "change it by hand"}
}

// without removes every entry at path: a key that stands there twice too.
func (d *document) without(path []string) (*document, error) {
	for d.count(path) > 0 {
		after, err := d.with(change{path: path})
		if err != nil {
			return nil, err
		}
		d = after
	}
	return d, nil
}

// count tells how often the last key of path stands in its mapping.
func (d *document) count(path []string) int {
	at := d.root
	for _, name := range path[:len(path)-1] {
		_, at = entry(at, name)
		if at == nil {
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
			*at = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", HeadComment: at.HeadComment, LineComment: at.LineComment, FootComment: at.FootComment}
		}
		if at.Kind != yaml.MappingNode {
			return fmt.Errorf("%s must hold keys, not a %s", strings.Join(c.path[:i], "."), kindWord(at))
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
			comment := value.LineComment
			*value = *c.value
			value.LineComment = comment
		}
	}
	return nil
}

// nest wraps a value in mappings.
func nest(path []string, value *yaml.Node) *yaml.Node {
	for _, name := range slices.Backward(path) {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("", name), value}}
	}
	return value
}

func encode(n *yaml.Node) (string, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(n); err != nil {
		return "", err
	}
	return out.String(), encoder.Close()
}

// same tells whether two trees mean the same, in the same order. Nothing after
// a colon means an empty mapping.
func same(a, b *yaml.Node) bool { return slices.Equal(flatten(a), flatten(b)) }

// flatten lists every value of a tree under its path.
func flatten(n *yaml.Node) []string {
	var list []string
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch {
		case n.Kind == yaml.MappingNode || null(n):
			list = append(list, path+" {}")
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(fmt.Sprintf("%s.%q", path, n.Content[i].Value), n.Content[i+1])
			}
		case n.Kind == yaml.SequenceNode:
			list = append(list, path+" []")
			for i, item := range n.Content {
				walk(fmt.Sprintf("%s.%d", path, i), item)
			}
		default:
			list = append(list, fmt.Sprintf("%s %s %q", path, n.ShortTag(), n.Value))
		}
	}
	walk("", n)
	return list
}

// commentsIn tells whether text holds every comment of the original, which it
// finds by their # alone: a # within a value counts too and does no harm.
func commentsIn(text, original string) bool {
	for line := range strings.Lines(original) {
		line = strings.TrimSpace(line)
		at := strings.Index(" "+strings.ReplaceAll(line, "\t", " "), " #")
		if at >= 0 && !strings.Contains(text, line[at:]) {
			return false
		}
	}
	return true
}
