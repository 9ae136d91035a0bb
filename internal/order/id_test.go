package order

import (
	"strings"
	"testing"
)

func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"4", "492500004632", "A.b_c:d-e", "z", strings.Repeat("9", 64)} {
		if err := CheckID(id); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ id, says string }{
		{"", "empty"},
		{strings.Repeat("9", 65), "65 characters long"},
		{strings.Repeat("9", 500), "500 characters long"},
		{"-1", "not an order ID"},
		{".x", "not an order ID"},
		{" 1", "not an order ID"},
		{"1 ", "not an order ID"},
		{"1/2", "not an order ID"},
		{"a\n", "not an order ID"},
		{"\x1b[2J", "not an order ID"},
		{"๑", "not an order ID"},
		{"a\x00", "not an order ID"},
	} {
		if err := CheckID(c.id); err == nil || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q: %v, want %q", c.id, err, c.says)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	if got := strings.Join(Sources(), " "); got != "qr wechat" {
		t.Error(got)
	}
}

func FuzzCheckID(f *testing.F) {
	for _, id := range []string{"492500004632", "A.b_c:d-e", "Z", "a", "@", "[", "`", "{", "/", ":", "\xc1", "é", strings.Repeat("z", 65)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if want := idForm.MatchString(id); (CheckID(id) == nil) != want {
			t.Errorf("%q: %t is right", id, want)
		}
	})
}
