package cmd

import (
	"strings"
	"testing"
	"time"
)

func TestStretch(t *testing.T) {
	t.Parallel()
	// In Bangkok it is past midnight.
	now := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)
	const none = "0001-01-01T00:00:00Z"
	for _, test := range []struct{ since, until, from, to string }{
		{"", "", none, none},
		{"24h", "", "2026-11-21T18:30:00Z", none},
		{"7d", "90m", "2026-11-15T18:30:00Z", "2026-11-22T17:00:00Z"},
		{"1.5d", "", "2026-11-21T06:30:00Z", none},
		{"today", "today", "2026-11-22T17:00:00Z", "2026-11-23T17:00:00Z"},
		{"yesterday", "yesterday", "2026-11-21T17:00:00Z", "2026-11-22T17:00:00Z"},
		{"2026-11-01", "2026-11-30", "2026-10-31T17:00:00Z", "2026-11-30T17:00:00Z"},
		{"2026-11-23", "", "2026-11-22T17:00:00Z", none},
		{"2026-11-22T18:30", "2026-11-22 18:31", "2026-11-22T11:30:00Z", "2026-11-22T11:31:00Z"},
		{"2026-11-22T18:30Z", "2026-11-23T02:00:00+07:00", "2026-11-22T18:30:00Z", "2026-11-22T19:00:00Z"},
		{"2026-11-22 18:30:05", "", "2026-11-22T11:30:05Z", none},
		{"", "2030-01-01", none, "2030-01-01T17:00:00Z"},
	} {
		since, until, err := (&stretchFlags{test.since, test.until}).times(now)
		if from, to := since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339); from != test.from || to != test.to || err != nil {
			t.Errorf("%s to %s: %s to %s, %v", test.since, test.until, from, to, err)
		}
	}
	for _, test := range []struct{ since, until, want string }{
		{"today", "today", "on 2026-11-23"},
		{"2026-11-22T00:00", "2026-11-23T00:00", "on 2026-11-22"},
		{"2026-11-01", "2026-11-30", "from 2026-11-01 to 2026-11-30"},
		{"", "yesterday", "until 2026-11-22"},
		{"", "2026-11-22T18:31", "until 2026-11-22 18:31:00 +07"},
		{"24h", "today", "from 2026-11-22 01:30:00 +07 to 2026-11-23"},
		{"2026-11-22T18:30Z", "2026-11-23T02:00", "from 2026-11-23 01:30:00 +07 to 2026-11-23 02:00:00 +07"},
	} {
		since, until, err := (&stretchFlags{test.since, test.until}).times(now)
		if words := periodWords(since, until); words != test.want || err != nil {
			t.Errorf("%s to %s: %s, %v", test.since, test.until, words, err)
		}
	}
	for _, test := range []struct{ since, until, want string }{
		{"2569-11-22", "", "did you mean 2026?"},
		{"", "2569-11-22", "--until: 2569-11-22 has a Buddhist year; did you mean 2026?"},
		{"2567-02-29", "", "did you mean 2024?"},
		{"2569-11-22T10:00:00+07:00", "", "did you mean 2026?"},
		{"2443-01-01", "", "did you mean 1900?"},
		{"2026-11-24", "", "2026-11-24 is in the future; did you mean 2025?"},
		{"2027-11-22", "", "did you mean 2026?"},
		{"2999-11-22", "", "did you mean 2026?"},
		{"2999-12-22", "", "did you mean 2025?"},
		{"2026-11-22T18:30:01Z", "", "is in the future"},
		{"today", "yesterday", "--since today is not before --until yesterday"},
		{"2026-11-22T18:30", "2026-11-22T18:30", "is not before"},
		{"tomorrow", "", "is not a duration, a day or a time"},
		{"22/11/2026", "", "is not a duration, a day or a time"},
		{"2026-02-30", "", "is not a duration, a day or a time"},
		{"-5h", "", "is not a duration, a day or a time"},
		{"0d", "", "is not a duration, a day or a time"},
		{"2h1d", "", "is not a duration, a day or a time"},
		{"1h30m2d", "", "is not a duration, a day or a time"},
		{"200000d", "", "is not a duration, a day or a time"},
		{"", "x", "--until: \"x\""},
	} {
		_, _, err := (&stretchFlags{test.since, test.until}).times(now)
		if err == nil || !strings.Contains(err.Error(), test.want) || explainKind(err).ExitCode != exitUsage {
			t.Errorf("%s to %s: %v, want %s", test.since, test.until, err, test.want)
		}
	}
}
