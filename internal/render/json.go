package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/villapay/villapay/internal/sanitize"
)

// JSON writes one value: indented at a terminal, else on one line. Digits and
// the order of fields stay; it is never colored.
func JSON(w io.Writer, s Screen, raw []byte) error {
	text, err := formatJSON(s, raw, "")
	if err != nil {
		return err
	}
	return writeString(w, text+"\n")
}

// JSONLine writes one value on one line, at a terminal too: for streams that
// are read line by line.
func JSONLine(w io.Writer, raw []byte) error { return JSON(w, Screen{}, raw) }

// JSONArray writes values as one array as they come: indented at a terminal,
// else with a line for each value; [] where there is none. It ends at the first
// error of the sequence and returns that, leaving the array unclosed so that
// nobody takes a part for the whole.
func JSONArray(w io.Writer, s Screen, values iter.Seq2[[]byte, error]) error {
	indent, before, end := "", "[\n", "[]\n"
	if s.TTY {
		indent = "  "
	}
	for raw, err := range values {
		if err != nil {
			return err
		}
		text, err := formatJSON(s, raw, indent)
		if err != nil {
			return err
		}
		if err := writeString(w, before+indent+text); err != nil {
			return err
		}
		before, end = ",\n", "\n]\n"
	}
	return writeString(w, end)
}

// formatJSON checks and lays out one value for a screen.
func formatJSON(s Screen, raw []byte, prefix string) (string, error) {
	var out bytes.Buffer
	var err error
	if s.TTY {
		err = json.Indent(&out, bytes.TrimSpace(raw), prefix, "  ")
	} else {
		err = json.Compact(&out, raw)
	}
	if err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return string(sanitize.JSON(out.Bytes(), s.legacy())), nil
}
