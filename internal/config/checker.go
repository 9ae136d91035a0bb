package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checker walks the tree of config.yaml, and collects what it says and what is
// wrong with it. It reads every scalar as its text: YAML would make 83 of a
// pool called 00123.
type checker struct {
	settings settings
	problems []problem
}

func (c *checker) fail(n *yaml.Node, hint, format string, args ...any) {
	c.problems = append(c.problems, problem{line: n.Line, message: fmt.Sprintf(format, args...), hint: hint})
}

// plain refuses anchors, aliases and tags: an edit of one place would change
// another, and a merge would hide where a value comes from.
func (c *checker) plain(n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		c.fail(n, "write the value out", "anchors (&), aliases (*) and tags (!) are not read here")
		return
	}
	for _, child := range n.Content {
		c.plain(child)
	}
}

// mapping calls each for every entry of a mapping, and refuses repeated keys.
// Nothing after the colon is an empty mapping.
func (c *checker) mapping(n *yaml.Node, where string, each func(name string, key, value *yaml.Node)) {
	if null(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		c.fail(n, "", "%s must hold keys, not a %s", where, kindWord(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			c.fail(key, "", "a key of %s is not a word", where)
			continue
		}
		if line := seen[key.Value]; line > 0 {
			c.fail(key, fmt.Sprintf("the first stands in line %d: remove one of them", line), "%s holds %q twice", where, key.Value)
			continue
		}
		seen[key.Value] = key.Line
		each(key.Value, key, value)
	}
}

func kindWord(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	default:
		return "single value"
	}
}

func (c *checker) root(n *yaml.Node) {
	c.mapping(n, "the file", func(name string, key, value *yaml.Node) {
		if name == "envs" {
			c.envs(value)
			return
		}
		c.value(topKeys(), c.settings.top, "", name, key, value)
	})
}

func (c *checker) envs(n *yaml.Node) {
	c.mapping(n, "envs", func(name string, key, value *yaml.Node) {
		if _, err := checkName(name); err != nil {
			c.fail(key, "", "envs: %s", err)
			return
		}
		env := section{name: name, line: key.Line, keys: map[string]setting{}}
		where := "envs." + name
		c.mapping(value, where, func(name string, key, value *yaml.Node) {
			if name == "auth" || name == "kbank" {
				c.nested(env, where, name, value)
				return
			}
			c.envValue(env, where, name, name, key, value)
		})
		c.settings.envs = append(c.settings.envs, env)
	})
}

func (c *checker) nested(env section, where, group string, n *yaml.Node) {
	where += "." + group
	c.mapping(n, where, func(name string, key, value *yaml.Node) {
		c.envValue(env, where, group+"."+name, name, key, value)
	})
}

// envValue reads a value of an environment; full is its dotted name in there.
func (c *checker) envValue(env section, where, full, name string, key, value *yaml.Node) {
	if why := fixed(env.name, full); why != "" {
		c.fail(key, "", "%s.%s: %s", where, name, why)
		return
	}
	if strings.Contains(name, ".") { // "auth.region": x is not auth: {region: x}
		full = ""
	}
	c.value(envKeys(), env.keys, where, full, key, value)
}

// value reads one value into its place; name is dotted, where is the mapping.
func (c *checker) value(keys []key, into map[string]setting, where, name string, at, value *yaml.Node) {
	k, ok := lookup(keys, name)
	if !ok {
		message, hint := unknown(where, at.Value)
		c.fail(at, hint, "%s", message)
		return
	}
	full := strings.TrimPrefix(where+"."+at.Value, ".")
	if null(value) {
		return
	}
	text, err := scalars(k, value)
	if err == nil {
		text, err = k.check(text)
	}
	if err != nil {
		c.fail(value, "", "%s: %s", full, err)
	}
	into[name] = setting{text: text, line: at.Line}
}

// scalars returns the text of a value of the key's shape.
func scalars(k key, n *yaml.Node) (string, error) {
	if !k.list {
		if n.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("it must be a single value, not a %s", kindWord(n))
		}
		return n.Value, nil
	}
	if n.Kind != yaml.SequenceNode {
		return "", fmt.Errorf("it must be a list such as [a, b], not a %s", kindWord(n))
	}
	items := make([]string, len(n.Content))
	for i, item := range n.Content {
		if item.Kind != yaml.ScalarNode || null(item) || strings.Contains(item.Value, ",") {
			return "", fmt.Errorf("item %d of the list is not a word", i+1)
		}
		items[i] = item.Value
	}
	return strings.Join(items, ","), nil
}

// whole checks what no single value shows.
func (c *checker) whole() {
	if selected, ok := c.settings.top["env"]; ok && !slices.Contains(c.settings.names(), selected.text) {
		c.problems = append(c.problems, problem{
			line: selected.line, message: fmt.Sprintf("env: there is no environment %q", selected.text),
			hint: meant(selected.text, c.settings.names(), "the environments are "),
		})
	}
	for _, env := range c.settings.envs {
		if _, ok := env.keys["base_url"]; !ok && !builtIn(env.name) {
			c.problems = append(c.problems, problem{
				line: env.line, message: fmt.Sprintf("envs.%s has no base_url", env.name),
				hint: fmt.Sprintf("villapay env set base_url URL -e %s, or villapay env remove %s", env.name, env.name),
			})
		}
	}
}
