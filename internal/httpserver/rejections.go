package httpserver

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// SummaryInterval limits the summaries of [Rejections].
const SummaryInterval = time.Minute

// Rejections sums up rejected requests, so that a stranger cannot flood the log or the
// terminal. Its zero value is ready; it is safe for concurrent use.
type Rejections struct {
	mu    sync.Mutex
	count int       // since the last summary
	last  time.Time // of the last summary
}

// Add counts a rejection, and returns a summary if one is due, else "".
func (r *Rejections) Add(now time.Time, what string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if !r.last.IsZero() && now.Sub(r.last) < SummaryInterval {
		return ""
	}
	summary := "rejected a request: " + what
	if r.count > 1 {
		summary = fmt.Sprintf("rejected %d requests, the last one: %s", r.count, what)
	}
	r.count, r.last = 0, now
	return strings.TrimSpace(summary)
}

// Truncate keeps a stranger's input from filling the log.
func Truncate(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
