package sandbox

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// Fail says which share of the requests meets which fault. The zero value: none.
type Fail struct{ chances []chance }

type chance struct {
	kind    string
	percent float64
}

// ParseFail reads "lost=10%,503=5%": a share of requests for each fault. A bare
// "5%" means lost and 503 in equal parts; "" means none. The faults: lost (the
// order is made, the connection breaks), cut (the answer is cut short), 429,
// 500, 502, 503 (nothing is made), 504 (the order is made).
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

// faultOf is what a fault does to a request, nil if there is no such fault.
func faultOf(kind string) *outcome {
	switch kind {
	case "lost":
		return &outcome{answer: lose}
	case "cut":
		return &outcome{answer: cut}
	case "429":
		return &outcome{refuse: new(gateway(429, "Too Many Requests"))}
	case "500":
		return &outcome{refuse: new(refusal(500, "internal_error", "Internal server error."))}
	case "502":
		return &outcome{refuse: new(gateway(502, "Internal server error"))}
	case "503":
		return &outcome{refuse: new(unavailable())}
	case "504":
		return &outcome{answer: instead(gateway(504, "Endpoint request timed out"))}
	}
	return nil
}

// faults draws the faults of a Fail.
type faults struct {
	fail Fail
	mu   sync.Mutex
	rng  *rand.Rand
}

func newFaults(fail Fail, seed uint64) *faults {
	if seed == 0 {
		seed = rand.Uint64() //nolint:gosec // faults, not secrets
	}
	return &faults{fail: fail, rng: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // dice, not secrets
}

// draw returns the fault that one request meets, nil for none.
func (f *faults) draw() *outcome {
	if len(f.fail.chances) == 0 {
		return nil
	}
	f.mu.Lock()
	x := f.rng.Float64() * 100
	f.mu.Unlock()
	for _, c := range f.fail.chances {
		if x < c.percent {
			return faultOf(c.kind)
		}
		x -= c.percent
	}
	return nil
}
