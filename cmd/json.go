package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/villapay/villapay/internal/config"
	"github.com/villapay/villapay/internal/render"
)

// writeJSON writes one JSON value as json or yaml, filtered by --jq if set.
func (a *output) writeJSON(ctx context.Context, format config.Format, raw []byte) error {
	if format == config.FormatYAML {
		return render.YAML(a.writer(), a.screen(), raw)
	}
	switch {
	case a.query != nil:
		return a.runQuery(ctx, raw)
	case a.streaming:
		return render.JSONLine(a.writer(), raw)
	}
	return render.JSON(a.writer(), a.screen(), raw)
}

// queryTimeout stops a --jq expression that does not end. A reader of its results may
// take longer.
const queryTimeout = 10 * time.Second

// runQuery filters a value with --jq. A failed filter is not a usage error, since
// that would say that nothing was sent.
func (a *output) runQuery(ctx context.Context, raw []byte) error {
	err := a.query.Run(ctx, queryTimeout, a.writer(), a.screen(), raw)
	var writeErr *outputError
	switch {
	case errors.Is(err, render.ErrJQLimit):
		return &failure{
			Code: "jq", Message: fmt.Sprintf("--jq did not end within %s", queryTimeout),
			Hint: "look for a loop that does not end; or use -o json and pipe it to jq, which has no limit", ExitCode: exitInternal,
		}
	case err != nil && !errors.As(err, &writeErr):
		return &failure{Code: "jq", Message: "--" + err.Error(), ExitCode: exitInternal}
	}
	return err
}

// writeValue writes a Go value as json or yaml.
func (a *output) writeValue(ctx context.Context, format config.Format, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.writeJSON(ctx, format, raw)
}

// writeJSONList writes values as one array. It streams them, except with --jq.
func (a *output) writeJSONList(ctx context.Context, format config.Format, objects iter.Seq2[[]byte, error]) error {
	switch {
	case format == config.FormatYAML:
		return render.YAMLList(a.writer(), a.screen(), objects)
	case a.query == nil:
		return render.JSONArray(a.writer(), a.screen(), objects)
	}
	var whole bytes.Buffer
	if err := render.JSONArray(&whole, render.Screen{}, objects); err != nil {
		return err
	}
	return a.runQuery(ctx, whole.Bytes())
}

// orNull returns a pointer to a value, nil for the zero value: null in JSON.
func orNull[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// mapped is a sequence with each value turned into another.
func mapped[T, U any](all iter.Seq2[T, error], turn func(T) (U, error)) iter.Seq2[U, error] {
	return func(yield func(U, error) bool) {
		for value, err := range all {
			var turned U
			if err == nil {
				turned, err = turn(value)
			}
			if !yield(turned, err) {
				return
			}
		}
	}
}
