package render

import (
	"testing"

	"github.com/villapay/villapay/internal/order"
)

// What a hint asks for must not become an order in another environment, or of
// another source.
func TestCommand(t *testing.T) {
	t.Parallel()
	p := order.Payment{OrderID: "a1", Source: order.WeChat, Env: "sandbox"}
	for _, test := range []struct{ got, want string }{
		{SourceCommand("pay qr", p, "--new"), "villapay pay qr a1 --source wechat -e sandbox --new"},
		{SourceCommand("pay qr", order.Payment{OrderID: "a1"}), "villapay pay qr a1"},
		{Command("order void", p, "--charge", "c1"), "villapay order void a1 -e sandbox --charge c1"},
		{Command("order show", p), "villapay order show a1 -e sandbox"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
