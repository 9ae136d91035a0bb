package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/villapay/villapay/internal/sanitize"
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
	end := "[]\n"
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
		end = ""
	}
	return writeString(w, end)
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
	return sanitize.YAML(out.String(), s.legacy()), nil
}

// yamlNode reads one JSON value from the decoder.
func yamlNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch value := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		if value == '{' {
			node.Kind = yaml.MappingNode
		}
		for decoder.More() {
			item, err := yamlNode(decoder)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, item)
		}
		if value == '{' {
			node.Content = lastValues(node.Content)
		}
		_, err := decoder.Token()
		return node, err
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(token)}, nil // a number or boolean
}

// lastValues keeps the last value of each key, where the first one stood: YAML
// knows no key twice.
func lastValues(content []*yaml.Node) []*yaml.Node {
	at := map[string]int{}
	kept := content[:0]
	for i := 0; i < len(content); i += 2 {
		key, value := content[i], content[i+1]
		if j, twice := at[key.Value]; twice {
			kept[j] = value
			continue
		}
		if plainKey(key.Value) {
			key.Style = 0
		}
		kept = append(kept, key, value)
		at[key.Value] = len(kept) - 1
	}
	return kept
}

// plainKey reports whether a key needs no quotes in any YAML version: a word that
// is none of YAML 1.1's many spellings of true, false and null.
func plainKey(key string) bool {
	switch strings.ToLower(key) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return key != "" && strings.IndexByte(letters, key[0]) >= 0 && strings.Trim(key, letters+"0123456789_") == ""
}
