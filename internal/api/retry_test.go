package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// transportFunc answers without a network, so that time can be synthetic.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// script answers the given statuses in turn, the last again and again; 0 stands
// for a server that is not reached. retryAfter is a header of every answer.
func script(retryAfter string, statuses ...int) (*Client, *[]time.Time) {
	var at []time.Time
	transport := transportFunc(func(*http.Request) (*http.Response, error) {
		status := statuses[min(len(at), len(statuses)-1)]
		at = append(at, time.Now())
		if status == 0 {
			return nil, errors.New("connection refused")
		}
		body := `{"message":"no"}`
		if status == 200 {
			body = seedOrder
		}
		header := http.Header{"Retry-After": {retryAfter}, "Date": {"Fri, 30 May 2025 13:57:00 GMT"}}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	return &Client{BaseURL: "https://api.example", IdempotencyHeader: "Idempotency-Key", Transport: transport, jitter: func() float64 { return 1 }}, &at
}

func TestRetryTable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statuses []int
		sent     int
		kind     Kind // 0 = made
		unsure   bool // some attempt may have been carried out
	}{
		"made at once":                   {[]int{200}, 1, 0, false},
		"unreachable for good":           {[]int{0}, 5, Unavailable, false},
		"unreachable, then made":         {[]int{0, 0, 200}, 3, 0, false},
		"throttled for good":             {[]int{429}, 5, Unavailable, false},
		"unavailable, then made":         {[]int{503, 503, 503, 200}, 4, 0, true},
		"unavailable for good":           {[]int{503}, 5, Unknown, true},
		"running elsewhere, then made":   {[]int{409, 200}, 2, 0, true},
		"switched, then made":            {[]int{101, 200}, 2, 0, true},
		"redirected":                     {[]int{307}, 1, Unknown, true},
		"rejected":                       {[]int{400}, 1, Rejected, false},
		"forbidden":                      {[]int{403}, 1, Denied, false},
		"unauthorized without a sign-in": {[]int{401}, 1, Denied, false},
		"ambiguous, then rejected":       {[]int{500, 400}, 2, Unknown, true},
		"ambiguous, then unreachable":    {[]int{502, 0}, 5, Unknown, true},
		"ambiguous, then forbidden":      {[]int{504, 403}, 2, Unknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, at := script("", test.statuses...)
				made, err := client.Retry(t.Context(), create(client))
				if kind := failure(err).Kind; made.Sent != test.sent || len(*at) != test.sent || kind != test.kind || (err == nil) != (kind == 0) || made.Ambiguous != test.unsure {
					t.Errorf("%+v (%d seen), ended as %v: %v", made, len(*at), kind, err)
				}
			})
		})
	}
}

func TestRetryBacksOffWithinItsTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status     int
		retryAfter string
		within     time.Duration
		waits      []time.Duration
	}{
		"exponentially": {503, "", time.Minute, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}},
		"briefly":       {503, "", time.Second, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
		"as asked":      {429, "7", 10 * time.Second, []time.Duration{7 * time.Second}},
		"until a date":  {503, "Fri, 30 May 2025 13:57:07 GMT", 10 * time.Second, []time.Duration{7 * time.Second}},
		"not for long":  {429, "45", 30 * time.Second, nil},
		"not backwards": {503, "-5", time.Second, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, at := script(test.retryAfter, test.status)
				var waits []time.Duration
				client.OnRetry = func(w Wait) { waits = append(waits, w.For) }
				ctx, cancel := context.WithTimeout(t.Context(), test.within)
				defer cancel()
				start, total := time.Now(), time.Duration(0)
				_, err := client.Retry(ctx, create(client))
				if diff := cmp.Diff(test.waits, waits); err == nil || diff != "" {
					t.Errorf("%v\n%s", err, diff)
				}
				for _, wait := range waits {
					total += wait
				}
				if took := time.Since(start); took != total || len(*at) != len(waits)+1 {
					t.Errorf("took %s for %d attempts", took, len(*at))
				}
			})
		})
	}
}

// Nobody hears of another attempt if there will be none.
func TestRetryEndsQuietly(t *testing.T) {
	t.Parallel()
	client, _ := script("", 503)
	client.OnRetry = func(w Wait) { t.Errorf("it says that it waits %s", w.For) }
	ctx, cancel := context.WithCancel(t.Context())
	made, err := client.Retry(ctx, func(ctx context.Context) error {
		defer cancel()
		return create(client)(ctx)
	})
	if made.Sent != 1 || err == nil {
		t.Errorf("sent %d: %v", made.Sent, err)
	}
}

func TestRetryRefreshesTheSignInOnce(t *testing.T) {
	t.Parallel()
	ended := errors.New("session ended")
	for name, test := range map[string]struct {
		statuses []int
		err      error // of the refresh
		sent     int
		kind     Kind // 0 = made
	}{
		"expired, then made":      {[]int{401, 200}, nil, 2, 0},
		"denied again":            {[]int{401}, nil, 2, Denied},
		"session ended":           {[]int{401}, ended, 1, Denied},
		"no sixth request for it": {[]int{503, 503, 503, 503, 401}, nil, 5, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, _ := script("", test.statuses...)
				signIn := &tokens{all: []string{"first.token.x", "second.token.x", "third"}, err: test.err}
				client.Tokens = signIn
				made, err := client.Retry(t.Context(), create(client))
				if made.Sent != test.sent || failure(err).Kind != test.kind || test.err != nil && !errors.Is(err, test.err) {
					t.Errorf("sent %d: %v", made.Sent, err)
				}
				if want := test.sent < maxAttempts; want != (len(signIn.denied) == 1 && signIn.denied[0] == "first.token.x") {
					t.Errorf("refreshed for %q", signIn.denied)
				}
			})
		})
	}
}

// A refresh that could not be done now says nothing about the sign-in: asking
// later may help.
func TestARefreshThatMayWorkLater(t *testing.T) {
	t.Parallel()
	for _, why := range []error{later{}, context.DeadlineExceeded} {
		client, _ := script("", 401)
		client.Tokens = &tokens{all: []string{"first.token.x"}, err: why}
		if _, err := client.Retry(t.Context(), create(client)); failure(err).Kind != 0 || !errors.Is(err, why) {
			t.Errorf("%v became %v", why, err)
		}
	}
}

// later is a failure that passes.
type later struct{}

func (later) Error() string   { return "the sign-in is away" }
func (later) Transient() bool { return true }

// What must not be repeated is sent again after a 401 alone.
func TestOnceSendsAgainOnlyAfterARefresh(t *testing.T) {
	t.Parallel()
	for status, sent := range map[int]int{401: 2, 503: 1, 429: 1} {
		client, calls := script("", status, 200)
		client.Tokens = &tokens{all: []string{"first.token.x", "second.token.x"}}
		err := client.Once(t.Context(), create(client))
		if len(*calls) != sent || (err == nil) != (sent == 2) {
			t.Errorf("after %d: sent %d, %v", status, len(*calls), err)
		}
	}
}
