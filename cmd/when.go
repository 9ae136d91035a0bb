package cmd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/order"
)

type stretchFlags struct{ since, until string }

func (s *stretchFlags) register(cmd *cobra.Command, about string) {
	f := cmd.Flags()
	f.StringVar(&s.since, "since", "", about+" since `WHEN`: 24h or 7d ago, today, yesterday, a date, or a time with zone")
	f.StringVar(&s.until, "until", "", "until `WHEN`: a day is included whole, a time is excluded")
	complete(cmd, "since", "today", "yesterday")
	complete(cmd, "until", "today", "yesterday")
}

// times returns the start and the exclusive end, zero if open.
func (s *stretchFlags) times(now time.Time) (since, until time.Time, err error) {
	if since, err = sinceTime(s.since, now); err != nil {
		return since, until, err
	}
	if s.until != "" {
		var day bool
		if until, day, err = parseWhen(s.until, now); err != nil {
			return since, until, usageError(hintWhen, "--until: %s", err)
		}
		if day {
			until = until.AddDate(0, 0, 1)
		}
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return since, until, usageError("", "--since %s is not before --until %s", s.since, s.until)
	}
	return since, until, nil
}

// periodWords says which stretch of time it is: days by their dates, inclusive.
func periodWords(since, until time.Time) string {
	words := func(at, day time.Time) string {
		if at = at.In(order.Bangkok); at.Equal(at.Truncate(time.Second)) && at.Format(time.TimeOnly) == "00:00:00" {
			return day.In(order.Bangkok).Format(time.DateOnly)
		}
		return at.Format("2006-01-02 15:04:05 -07")
	}
	first, last := words(since, since), words(until, until.AddDate(0, 0, -1))
	switch {
	case since.IsZero():
		return "until " + last
	case first == last:
		return "on " + first
	}
	return "from " + first + " to " + last
}

// sinceTime reads --since; "" is the zero time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	since, _, err := parseWhen(text, now)
	if err == nil && since.After(now) {
		near := since.AddDate(now.In(order.Bangkok).Year()-since.Year(), 0, 0)
		if near.After(now) {
			near = near.AddDate(-1, 0, 0)
		}
		err = fmt.Errorf("%s is in the future; did you mean %d?", text, near.Year())
	}
	if err != nil {
		return since, usageError(hintWhen, "--since: %s", err)
	}
	return since, nil
}

const hintWhen = "examples: 24h, 7d, today, yesterday, 2026-11-22, 2026-11-22T18:30+07:00"

// parseWhen parses a duration before now, in which d is 24 hours, a day, or a time.
// The default time zone is Bangkok's. For a day it returns its start, and day is true.
func parseWhen(text string, now time.Time) (at time.Time, day bool, _ error) {
	if days, ok := strings.CutSuffix(text, "d"); ok && strings.Trim(days, "0123456789.") == "" {
		if d, err := time.ParseDuration(days + "h"); err == nil && d > 0 && d < math.MaxInt64/24 {
			return now.Add(-24 * d), false, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), false, nil
	}
	year, month, date := now.In(order.Bangkok).Date()
	today := time.Date(year, month, date, 0, 0, 0, 0, order.Bangkok)
	switch text {
	case "today":
		return today, true, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), true, nil
	}
	if year := buddhistYear(text, now); year != 0 {
		return at, false, fmt.Errorf("%s has a Buddhist year; did you mean %d?", text, year)
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, order.Bangkok); err == nil {
		return at, true, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.DateTime, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, order.Bangkok); err == nil {
			return at, false, nil
		}
	}
	return at, false, errors.New(strconv.Quote(text) + " is not a duration, a day or a time")
}

// buddhistYear returns the common year of a date in the Thai Buddhist calendar, 0 for
// any other date.
func buddhistYear(text string, now time.Time) int {
	const ahead = 543
	first, _, _ := strings.Cut(text, "-")
	year, err := strconv.Atoi(first)
	if err != nil || year-ahead < 1900 || year-ahead > now.Year()+1 {
		return 0
	}
	return year - ahead
}
