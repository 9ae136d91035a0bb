package kbank

import "testing"

func TestMerchantDigits(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"pkey_test_22211abc": "22211", "skey_prod_222119a": "222119", "skey": "", "": "", "skey_test_x": ""} {
		if got := merchantDigits(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	for _, pair := range [][2]string{{"22211", "22211"}, {"222113", "222119"}, {"22211", "222119"}, {"222", "22211"}} {
		if !sameMerchant(pair[0], pair[1]) {
			t.Errorf("%v belong to different merchants", pair)
		}
	}
	if sameMerchant("22211", "22212") || sameMerchant("333", "22211") {
		t.Error("two merchants are taken for one")
	}
}
