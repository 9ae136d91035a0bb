package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/villapay/villapay/internal/order"
)

// glue is a blank at which a table does not break a line: "2 minutes ago" and a
// time with its zone stay together. Private use, like [standIns], so server
// text never holds it.
const glue = "\ue000"

// exact is how a point in time stands in tables, always in Bangkok's zone.
const exact = "2006-01-02 15:04:05" + glue + "-07"

// Stamp is how a time stands in JSON, YAML and CSV: RFC 3339 with milliseconds,
// in Bangkok's zone.
func Stamp(t time.Time) string {
	return t.In(order.Bangkok).Format("2006-01-02T15:04:05.000-07:00")
}

// Ago says how long before now t was: "just now", "42 seconds ago", "2 minutes
// ago". A t after now reads as [In] says.
func Ago(now, t time.Time) string {
	switch past := now.Sub(t); {
	case past <= -time.Second:
		return In(now, t)
	case past < time.Second:
		return "just now"
	default:
		return span(past) + " ago"
	}
}

// In says how long after now t will be: "in 58 minutes", "now". A t before now
// reads as [Ago] says. Durations are rounded down, so an expiry is never told
// later than it is.
func In(now, t time.Time) string {
	switch left := t.Sub(now); {
	case left <= -time.Second:
		return Ago(now, t)
	case left < time.Second:
		return "now"
	default:
		return "in " + span(left)
	}
}

// span names a duration by the largest unit of which there are at least two
// (one of the smallest), rounded down.
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

// when writes a time for a table's cell: exact in Bangkok's zone, the humane form
// beside it, and in full the machine's own zone where it differs.
func (s Screen) when(t time.Time, full bool) string {
	if t.IsZero() {
		return ""
	}
	text := t.In(order.Bangkok).Format(exact)
	if !s.Now.IsZero() {
		text += ", " + strings.ReplaceAll(In(s.Now, t), " ", glue)
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
	layout := "15:04:05" + glue + "MST"
	if there.YearDay() != here.YearDay() {
		layout = "2006-01-02 " + layout
	}
	return " (" + here.Format(layout) + glue + "here)"
}

// Money writes an amount for people: "THB 300.00". Amounts with more than two
// decimals keep them; "" where none is known.
func Money(a order.Amount, currency string) string {
	if !a.Known() {
		return ""
	}
	text, err := a.Fixed(2)
	if err != nil {
		text = a.String()
	}
	if currency == "" {
		return text
	}
	return currency + " " + text
}
