package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// noBreak is a blank at which a table does not break a line: "2 minutes ago" and
// a time with its zone stay together. Private use, like [standIns], so server
// text never holds it.
const noBreak = "\ue000"

// exact is how a point in time stands in tables, always in Bangkok's zone.
const exact = "2006-01-02 15:04:05" + noBreak + "-07"

// FormatTime is a time in JSON, YAML and CSV: RFC 3339 with milliseconds, in
// Bangkok's zone; "" for the zero time.
func FormatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(order.Bangkok).Format("2006-01-02T15:04:05.000-07:00")
}

// Exact is a time for people, as tables show it: "2025-05-30 20:56:58 +07"; "" for the
// zero time.
func Exact(t time.Time) string { return strings.ReplaceAll(Screen{}.when(t, false), noBreak, " ") }

// Ago says how long before now t was: "just now", "42 seconds ago", "2 minutes
// ago". A t after now reads as [In] says.
func Ago(now, t time.Time) string { return relative(now, t, "just now") }

// In says how long after now t will be: "in 58 minutes", "now". A t before now
// reads as [Ago] says. Durations are rounded down, so an expiry is never later
// than it says.
func In(now, t time.Time) string { return relative(now, t, "now") }

func relative(now, t time.Time, present string) string {
	switch left := t.Sub(now); {
	case left >= time.Second:
		return "in " + span(left)
	case left <= -time.Second:
		return span(-left) + " ago"
	}
	return present
}

// span names a duration by the largest unit of at least 2 (one of the smallest),
// rounded down.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		name string
		size time.Duration
	}{{"year", 365 * day}, {"month", 30 * day}, {"day", day}, {"hour", time.Hour}, {"minute", time.Minute}}
	for _, unit := range units {
		if n := d / unit.size; n >= 2 {
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	if n := d / time.Second; n != 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "1 second"
}

// Time writes a time for a cell of [Table], as every table shows one: exact in
// Bangkok's zone, how long ago or ahead that is, and the machine's own zone.
func (s Screen) Time(t time.Time) string { return strings.ReplaceAll(s.when(t, true), noBreak, " ") }

// when writes a time for a table: exact in Bangkok's zone, how long ago or ahead
// that is, and in full the machine's own zone where it differs.
func (s Screen) when(t time.Time, full bool) string {
	if t.IsZero() {
		return ""
	}
	text := t.In(order.Bangkok).Format(exact)
	if !s.Now.IsZero() {
		text += ", " + strings.ReplaceAll(In(s.Now, t), " ", noBreak)
	}
	if full {
		text += s.local(t)
	}
	return text
}

// local is " (13:56:58 UTC here)", with the date where that differs too, and
// nothing where the machine's clock shows Bangkok's time anyway.
func (s Screen) local(t time.Time) string {
	if s.Local == nil {
		return ""
	}
	there, here := t.In(order.Bangkok), t.In(s.Local)
	if _, offset := here.Zone(); offset == 7*60*60 {
		return ""
	}
	layout := "15:04:05" + noBreak + "MST"
	if there.YearDay() != here.YearDay() {
		layout = "2006-01-02 " + layout
	}
	return " (" + here.Format(layout) + noBreak + "here)"
}

// Money writes an amount for people: "THB 1,234,567.50". Amounts with more than two
// decimals keep them; "" where none is known.
func Money(a order.Amount, currency string) string {
	whole, fraction, ok := strings.Cut(decimals(a), ".")
	first := len(whole) - len(strings.TrimPrefix(whole, "-"))
	for i := len(whole) - 3; i > first; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if ok {
		whole += "." + fraction
	}
	if !a.Known() || currency == "" {
		return whole
	}
	return currency + " " + whole
}

func decimals(a order.Amount) string {
	text, err := a.Fixed(2)
	if err != nil {
		return a.String()
	}
	return text
}
