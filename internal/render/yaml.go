package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// YAML writes one JSON value as YAML: fields in the same order, numbers with
// the same digits, and every string quoted, so that no reader of any YAML
// version takes an order number, "no" or 12:30 for something else. Of a field
// that stands twice the last value counts.
func YAML(w io.Writer, s Screen, raw []byte) error {
	text, err := yamlText(s, raw, false)
	if err != nil {
		return err
	}
	return writeString(w, text)
}

// YAMLList writes JSON values as one YAML sequence as they come; [] where there
// is none. It ends at the first error of the sequence and returns that.
func YAMLList(w io.Writer, s Screen, values iter.Seq2[[]byte, error]) error {
	empty := true
	for raw, err := range values {
		if err != nil {
			return err
		}
		text, err := yamlText(s, raw, true)
		if err != nil {
			return err
		}
		if err := writeString(w, text); err != nil {
			return err
		}
		empty = false
	}
	if empty {
		return writeString(w, "[]\n")
	}
	return nil
}

func yamlText(s Screen, raw []byte, item bool) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	node, err := yamlNode(decoder)
	if err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	if item {
		node = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(node), encoder.Close()); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return safeYAML(out.String(), s.legacy()), nil
}

// yamlNode reads one JSON value from the decoder.
func yamlNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch value := token.(type) {
	case json.Delim:
		if value == '{' {
			return yamlMapping(decoder)
		}
		return yamlSequence(decoder)
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(value)}, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
}

func yamlSequence(decoder *json.Decoder) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for decoder.More() {
		item, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item)
	}
	_, err := decoder.Token()
	return node, err
}

func yamlMapping(decoder *json.Decoder) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	at := map[string]int{}
	for decoder.More() {
		key, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		value, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		if i, twice := at[key.Value]; twice {
			node.Content[i] = value
			continue
		}
		if plainKey(key.Value) {
			key.Style = 0
		}
		at[key.Value] = len(node.Content) + 1
		node.Content = append(node.Content, key, value)
	}
	_, err := decoder.Token()
	return node, err
}

// plainKey tells whether a key needs no quotes in any YAML version: a word that
// is none of YAML 1.1's many spellings of true, false and null.
func plainKey(key string) bool {
	switch strings.ToLower(key) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return key != "" && strings.IndexByte(letters, key[0]) >= 0 && strings.Trim(key, letters+"0123456789_") == ""
}

// safeYAML escapes what cannot be seen, and with asciiOnly everything beyond
// ASCII. Such characters stand only in quoted strings: no plain scalar of ours
// holds any.
func safeYAML(text string, asciiOnly bool) string {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case r == '\n', r < 0x7f && !hidden(r), !asciiOnly && (!hidden(r) || r == zwj || r == vs15 || r == vs16):
			out = utf8.AppendRune(out, r)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
	}
	return string(out)
}
