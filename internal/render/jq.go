package render

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/itchyny/gojq"
)

// Query is a compiled jq expression.
type Query struct{ code *gojq.Code }

// JQ compiles a jq expression. It has no files, environment or input but the
// value it is run on.
func JQ(expr string) (*Query, error) {
	parsed, err := gojq.Parse(expr)
	if err != nil {
		return nil, fmt.Errorf("jq expression: %w", err)
	}
	code, err := gojq.Compile(parsed)
	if err != nil {
		return nil, fmt.Errorf("jq expression: %w", err)
	}
	return &Query{code}, nil
}

// ErrJQLimit is behind a query that took too long.
var ErrJQLimit = errors.New("it took too long")

// Run applies the query to one JSON value and writes each result: a string as
// it is, anything else as [JSON] does (jq sorts the fields of an object).
// Numbers that the query leaves alone keep their digits. At a terminal strings
// are sanitized, but for the line breaks and tabs that the query asked for; a
// pipe gets them whole. A query that takes longer than limit ends with [ErrJQLimit];
// the time that w takes does not count.
func (q *Query) Run(ctx context.Context, limit time.Duration, w io.Writer, s Screen, raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var input any
	if err := decoder.Decode(&input); err != nil {
		return fmt.Errorf("jq: read the input: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := q.code.RunWithContext(ctx, input)
	for {
		started := time.Now()
		timer := time.AfterFunc(limit, func() { cancel(ErrJQLimit) })
		result, ok := results.Next()
		timer.Stop()
		limit -= time.Since(started)
		if !ok {
			return nil
		}
		var halt *gojq.HaltError
		if err, failed := result.(error); failed {
			switch {
			case errors.As(err, &halt) && halt.Value() == nil:
				return nil
			case ctx.Err() != nil:
				err = context.Cause(ctx)
			}
			return fmt.Errorf("jq: %w", err)
		}
		if err := writeResult(w, s, result); err != nil {
			return err
		}
	}
}

func writeResult(w io.Writer, s Screen, result any) error {
	if text, ok := result.(string); ok {
		if s.TTY {
			text = s.textBetween(text, "\n\t")
		}
		return writeString(w, text+"\n")
	}
	raw, err := gojq.Marshal(result)
	if err != nil {
		return fmt.Errorf("jq: %w", err)
	}
	return JSON(w, s, raw)
}
