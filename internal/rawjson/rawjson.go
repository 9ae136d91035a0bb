// Package rawjson takes JSON from servers apart without changing a byte of it:
// digits, escapes and the order of fields stay as they came.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Field is one field of an object. Key and Value are the bytes that stood
// there, Key with its quotes.
type Field struct {
	Name  string
	Key   []byte
	Value json.RawMessage
}

// ErrNotObject says that the bytes are not one JSON object.
var ErrNotObject = errors.New("not a JSON object")

// Fields returns the fields of a JSON object in their order; a name that stands
// twice is there twice. Names are compared exactly by whoever looks for one,
// unlike in encoding/json, which takes "ID" for "id". The error is
// [ErrNotObject].
func Fields(raw []byte) ([]Field, error) {
	if !json.Valid(raw) {
		return nil, ErrNotObject
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, ErrNotObject
	}
	var fields []Field
	for decoder.More() {
		start := decoder.InputOffset()
		name, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotObject, err)
		}
		f := Field{Name: name.(string), Key: bytes.TrimLeft(raw[start:decoder.InputOffset()], ", \t\r\n")}
		if err := decoder.Decode(&f.Value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotObject, err)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// Marshal is json.Marshal without its HTML escapes, which only clutter a
// terminal.
func Marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
