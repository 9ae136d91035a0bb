package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds config.yaml; one of a hundred environments has 50 kB.
const maxFile = 256 << 10

// document is the text of config.yaml and its tree. A file that does not exist
// is an empty document.
type document struct {
	path string
	text string
	root *yaml.Node // an empty mapping where the file holds nothing
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
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s is a link to a file that does not exist", path)
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d kB", path, maxFile>>10)
	}
	return string(text), err
}

// parseYAML reads one YAML document and returns the mapping at its top, an empty
// one where the text holds only comments or nothing.
func parseYAML(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if err == nil && !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, errors.New("it holds more than one document")
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
	text string // normalised; a list's items separated by commas; "" where it is wrong
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

// env returns what the file says of an environment; it may be nothing.
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
	list := BuiltIns()
	for _, env := range s.envs {
		if !builtIn(env.name) {
			list = append(list, env.name)
		}
	}
	return list
}

func builtIn(name string) bool { return name == Dev || name == Prod || name == Sandbox }

// problem is something wrong with the file. Its message does not tell the line,
// so that the problems before and after an edit can be compared.
type problem struct {
	line          int
	message, hint string
}

// settings reads the tree, and lists everything wrong with it. The settings are
// zero where the file is no plain mapping.
func (d *document) settings() (settings, []problem) {
	var c checker
	c.plain(d.root)
	if len(c.problems) == 0 && d.root.Kind != yaml.MappingNode {
		c.fail(d.root, "", "the file must hold keys, not a %s", kindWord(d.root))
	}
	if len(c.problems) == 0 {
		c.settings.top = map[string]setting{}
		c.root(d.root)
		c.whole()
	}
	return c.settings, c.problems
}

// valid is settings for those who need a whole file.
func (d *document) valid() (settings, error) {
	s, problems := d.settings()
	if len(problems) == 0 {
		return s, nil
	}
	first := problems[0]
	for _, p := range problems {
		if p.line < first.line {
			first = p
		}
	}
	message := fmt.Sprintf("%s, line %d: %s", d.path, first.line, first.message)
	if more := len(problems) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return s, &Error{Kind: KindConfig, Message: message, Hint: first.hint}
}
