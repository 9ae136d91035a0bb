package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/villapay/villapay/internal/atomicfile"
)

// document is the text of config.yaml and its tree. A file that does not exist
// is an empty document.
type document struct {
	path string
	text string
	root *yaml.Node // an empty mapping if the file holds nothing
}

// read reads the file; it creates nothing.
func read(path string) (*document, error) {
	text, err := readText(path)
	if err != nil {
		return nil, &Error{Kind: KindConfig, Message: "read the configuration: " + err.Error(), Hint: "check the file's owner and mode, or set VILLAPAY_CONFIG_DIR", Err: err}
	}
	return newDocument(path, text)
}

func newDocument(path, text string) (*document, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	root, err := parseYAML(text)
	if err != nil {
		return nil, &Error{Kind: KindConfig, Message: fmt.Sprintf("%s is not a YAML file: %s", path, err), Hint: "repair it by hand", Err: err}
	}
	return &document{path: path, text: text, root: root}, nil
}

func readText(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path) // people keep it elsewhere, and link to it
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s is a link to a file that does not exist", path)
		}
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	f, err := atomicfile.Open(target, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(f)
	return string(text), err
}

// parseYAML reads one YAML document and returns the mapping at its top, an empty
// one if the text holds nothing but comments.
func parseYAML(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if err == nil && !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, errors.New("it contains more than one document")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(first.Content) == 0 || null(first.Content[0]) {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, nil
	}
	return first.Content[0], nil
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// setting is a value that stands in the file.
type setting struct {
	text string // normalized; a list's items separated by commas; "" if it is invalid
	line int
}

// section is an environment as the file has it.
type section struct {
	name string
	line int
	keys map[string]setting
}

// settings is all that the file says.
type settings struct {
	top  map[string]setting
	envs []section // in the file's order
}

// env returns what the file says about an environment, which may be nothing.
func (s settings) env(name string) section {
	for _, env := range s.envs {
		if env.name == name {
			return env
		}
	}
	return section{name: name}
}

// names lists the built-in environments, then those of the file.
func (s settings) names() []string {
	list := []string{Dev, Prod, Sandbox}
	for _, env := range s.envs {
		if !builtIn(env.name) {
			list = append(list, env.name)
		}
	}
	return list
}

func builtIn(name string) bool { return name == Dev || name == Prod || name == Sandbox }

// checker walks the tree of config.yaml, and collects what it says and the first
// thing that is wrong with it. It reads every scalar as its text: to YAML, the
// pool 00123 is 83.
type checker struct {
	path     string
	settings settings
	err      *Error
}

func (c *checker) fail(line int, hint, format string, args ...any) {
	if c.err == nil {
		c.err = &Error{Kind: KindConfig, Message: fmt.Sprintf("%s, line %d: %s", c.path, line, fmt.Sprintf(format, args...)), Hint: hint}
	}
}

// settings reads the tree. What it returns beside an error is what could be read;
// it is zero if no key of the file can be relied on.
func (d *document) settings() (settings, *Error) {
	c := checker{path: d.path}
	if d.root.Kind == yaml.MappingNode {
		c.settings.top = map[string]setting{}
	}
	c.mapping(d.root)
	c.whole()
	return c.settings, c.err
}

// mapping reads the entries of the mapping at path. Nothing after the colon is
// an empty mapping.
func (c *checker) mapping(n *yaml.Node, path ...string) {
	where := strings.Join(path, ".")
	if where == "" {
		where = "the file"
	}
	if null(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		c.fail(n.Line, "", "%s must contain keys, not %s", where, kindWord(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		first := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			c.fail(key.Line, "", "a key of %s is not a word", where)
		case first > 0:
			c.fail(key.Line, fmt.Sprintf("remove one of them; the first is in line %d", first), "%s has %q twice", where, key.Value)
		default:
			seen[key.Value] = key.Line
			c.entry(key, value, append(slices.Clone(path), key.Value))
		}
	}
}

func kindWord(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*): write it out"
	default:
		return "a single value"
	}
}

// entry reads what stands at path: a mapping of the four that there are, or a
// value.
func (c *checker) entry(key, value *yaml.Node, path []string) {
	name := path[len(path)-1]
	switch {
	case len(path) == 1 && name == "envs", len(path) == 3 && (name == "auth" || name == "kbank"):
		c.mapping(value, path...)
	case len(path) == 2:
		if _, err := checkName(name); err != nil {
			c.fail(key.Line, "", "envs: %s", err)
			return
		}
		c.settings.envs = append(c.settings.envs, section{name: name, line: key.Line, keys: map[string]setting{}})
		c.mapping(value, path...)
	default:
		c.value(key, value, path)
	}
}

// value reads the value at path into its place.
func (c *checker) value(at, value *yaml.Node, path []string) {
	keys, into, name := topKeys(), c.settings.top, path[0]
	if len(path) > 1 {
		env := c.settings.envs[len(c.settings.envs)-1]
		keys, into, name = envKeys(), env.keys, strings.Join(path[2:], ".")
		if why := fixed(env.name, name); why != "" {
			c.fail(at.Line, "", "%s: %s", strings.Join(path, "."), why)
			return
		}
	}
	k, ok := lookup(keys, name)
	if !ok || strings.Contains(at.Value, ".") { // auth.region: x is not auth: {region: x}
		message, hint := unknown(path...)
		c.fail(at.Line, hint, "%s", message)
		return
	}
	if null(value) {
		return
	}
	text, err := k.text(value)
	if err == nil {
		text, err = k.check(text)
	}
	if err != nil {
		c.fail(value.Line, "", "%s", invalid(strings.Join(path, "."), err))
	}
	into[name] = setting{text: text, line: at.Line}
}

// text is the text of a value in the file.
func (k key) text(n *yaml.Node) (string, error) {
	switch {
	case !k.list && n.Kind != yaml.ScalarNode:
		return "", fmt.Errorf("it must be a single value, not %s", kindWord(n))
	case !k.list:
		return n.Value, nil
	case n.Kind != yaml.SequenceNode:
		return "", fmt.Errorf("it must be a list such as [a, b], not %s", kindWord(n))
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
	if own, ok := c.settings.top["env"]; ok && !slices.Contains(c.settings.names(), own.text) {
		c.fail(own.line, suggestion(own.text, c.settings.names(), "the environments are "), "env: there is no environment %q", own.text)
	}
	for _, env := range c.settings.envs {
		if _, ok := env.keys["base_url"]; !ok && !builtIn(env.name) {
			hint := fmt.Sprintf("villapay env set base_url URL -e %s, or villapay env remove %s", env.name, env.name)
			c.fail(env.line, hint, "envs.%s has no base_url", env.name)
		}
	}
}
