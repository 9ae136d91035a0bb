package sandbox

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Fail has the share of requests that get each fault. The zero value has none.
type Fail struct{ chances []chance }

type chance struct {
	kind    string
	percent float64
}

// ParseFail parses "lost=10%,503=5%": a share of requests for each fault. A bare
// "5%" means lost and 503 in equal parts; "" means none. The faults are lost
// (the order is made, the connection breaks), cut (the response is cut short),
// 429, 500, 502, 503 (no order is made) and 504 (the order is made).
func ParseFail(text string) (Fail, error) {
	var (
		fail Fail
		sum  float64
	)
	if strings.TrimSpace(text) == "" {
		return fail, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		kind, share, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			kind, share = "", kind
		}
		digits, isPercent := strings.CutSuffix(strings.TrimSpace(share), "%")
		percent, err := strconv.ParseFloat(digits, 64)
		if err != nil || !isPercent || !(percent >= 0 && percent <= 100) {
			return Fail{}, fmt.Errorf("%q is not a share: write 5%% or lost=10%%,503=5%%", part)
		}
		sum += percent
		switch kind = strings.TrimSpace(kind); {
		case !named:
			fail.chances = append(fail.chances, chance{"lost", percent / 2}, chance{"503", percent / 2})
		case faultOf(kind) != nil:
			fail.chances = append(fail.chances, chance{kind, percent})
		default:
			return Fail{}, fmt.Errorf("%q is not a fault: there are lost, cut, 429, 500, 502, 503 and 504", kind)
		}
	}
	if sum > 100 {
		return Fail{}, fmt.Errorf("the faults add up to %g%%, more than all requests", sum)
	}
	return fail, nil
}

// faultOf returns the outcome of a fault, nil if there is no such fault.
func faultOf(kind string) *outcome {
	switch kind {
	case "lost":
		return &outcome{respond: respondWith(response{lost: true})}
	case "cut":
		return &outcome{respond: cut}
	case "429":
		return &outcome{reject: new(gateway(429, "Too Many Requests"))}
	case "500":
		return &outcome{reject: new(apiError(500, "internal_error", "Internal server error."))}
	case "502":
		return &outcome{reject: new(gateway(502, "Internal server error"))}
	case "503":
		return &outcome{reject: new(unavailable())}
	case "504":
		return &outcome{respond: respondWith(gateway(504, "Endpoint request timed out"))}
	}
	return nil
}

// draw returns the fault of one request at random, nil if it has none.
func (f Fail) draw() *outcome {
	x := rand.Float64() * 100 //nolint:gosec // faults, not secrets
	for _, c := range f.chances {
		if x < c.percent {
			return faultOf(c.kind)
		}
		x -= c.percent
	}
	return nil
}
