package sandbox

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want []chance
		says string
	}{
		{"", nil, ""},
		{"5%", []chance{{"lost", 2.5}, {"503", 2.5}}, ""},
		{"lost=10%,503=5%, 429 = 2.5%", []chance{{"lost", 10}, {"503", 5}, {"429", 2.5}}, ""},
		{"cut=100%", []chance{{"cut", 100}}, ""},
		{"500=0%,502=1%,504=1%", []chance{{"500", 0}, {"502", 1}, {"504", 1}}, ""},
		{"5", nil, "not a share"},
		{"lost", nil, "not a share"},
		{"lost=", nil, "not a share"},
		{"lost=-1%", nil, "not a share"},
		{"lost=101%", nil, "not a share"},
		{"lost=NaN%", nil, "not a share"},
		{"lost=1%,", nil, "not a share"},
		{"404=1%", nil, "not a fault"},
		{"=1%", nil, "not a fault"},
		{"lost=60%,503=60%", nil, "120%"},
	}
	for _, test := range tests {
		got, err := ParseFail(test.text)
		if diff := cmp.Diff(test.want, got.chances, cmp.AllowUnexported(chance{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v, want %q", test.text, err, test.says)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct {
		status, made int
	}{
		"lost": {0, 1}, "cut": {0, 1}, "429": {429, 0}, "500": {500, 0}, "502": {502, 0}, "503": {503, 0}, "504": {504, 1},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			fail, err := ParseFail(kind + "=100%")
			if err != nil {
				t.Fatal(err)
			}
			s := newSandbox(t, Options{Fail: fail})
			got := ask(t.Context(), client(s.Transport()), inProcess, "1", "qr", "")
			checked := check(t, s, "1")
			for _, got := range []answer{got, checked} {
				if (got.err != nil) != (want.status == 0) || got.err == nil && got.status != want.status {
					t.Errorf("%+v, want status %d", got, want.status)
				}
			}
			wantStats(t, s, "1", Stats{Posts: 1, Orders: want.made, Checks: 1})
		})
	}
}

func TestFaultsAreDrawn(t *testing.T) {
	t.Parallel()
	fail, err := ParseFail("lost=30%,429=20%")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	const draws = 100_000
	for range draws {
		switch fault := fail.draw(); {
		case fault == nil:
			got["none"]++
		case fault.reject != nil:
			got["429"]++
		default:
			got["lost"]++
		}
	}
	for kind, percent := range map[string]int{"none": 50, "lost": 30, "429": 20} {
		if share := float64(got[kind]) * 100 / draws; math.Abs(share-float64(percent)) > 2 { // 12 standard deviations
			t.Errorf("%s: %g%%, want %d%%", kind, share, percent)
		}
	}
}
