package order

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Field is one member of a JSON object.
type Field struct {
	Name  string
	Key   []byte // the name as it stood, quotes included
	Value json.RawMessage
}

// Fields takes a JSON object apart, in its own order, without touching its bytes.
// Repeated names are kept: [ParseObject] rejects them.
func Fields(body []byte) ([]Field, error) {
	if !json.Valid(body) {
		return nil, errors.New("is not JSON")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	var fields []Field
	for in.More() {
		start := in.InputOffset()
		token, err := in.Token()
		if err != nil {
			return nil, err
		}
		f := Field{Name: token.(string), Key: bytes.TrimLeft(body[start:in.InputOffset()], ", \t\r\n")} // the keys of valid JSON are strings
		if err := in.Decode(&f.Value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// Object is a JSON object whose fields are read tolerantly: types vary in the
// wild.
type Object map[string]json.RawMessage

// ParseObject reads a JSON object. Names match exactly and may stand once only:
// encoding/json would read {"id":"a","ID":"b"} as b.
func ParseObject(body []byte) (Object, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("is not UTF-8")
	}
	fields, err := Fields(body)
	if err != nil {
		return nil, err
	}
	o := make(Object, len(fields))
	for _, f := range fields {
		if _, repeated := o[f.Name]; repeated {
			return nil, fmt.Errorf("has the field %q twice", f.Name)
		}
		o[f.Name] = f.Value
	}
	return o, nil
}

// Text is a string, or the text of a number or boolean; "" for anything else.
func (o Object) Text(name string) string {
	raw := o[name]
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '"':
		var text string
		_ = json.Unmarshal(raw, &text) // it is valid JSON, and a string
		return text
	case '{', '[', 'n':
		return ""
	}
	return string(raw)
}

// Flag reads true, "true", 1 and their opposites; nil for anything else.
func (o Object) Flag(name string) *bool {
	value, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(o.Text(name))))
	if err != nil {
		return nil
	}
	return &value
}

// Amount reads a number or a string that holds one. Null, "" and a missing field
// are no amount; anything else is an error.
func (o Object) Amount(name string) (amount Amount, err error) {
	if raw, ok := o[name]; ok {
		err = amount.UnmarshalJSON(raw)
	}
	return amount, err
}

// has reports whether a field says something: it is there and neither null nor
// blank.
func (o Object) has(name string) bool {
	raw, ok := o[name]
	return ok && string(raw) != "null" && (raw[0] != '"' || strings.TrimSpace(o.Text(name)) != "")
}
