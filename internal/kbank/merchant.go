package kbank

import "strings"

// OtherMerchant reports whether the key is another merchant's than a bank order.
func (c *Client) OtherMerchant(bankOrderID string) bool {
	return OtherMerchant(c.HTTP.Key.Reveal(), bankOrderID)
}

// OtherMerchant reports whether a secret or public key is another merchant's than a
// bank order. Both begin with the merchant's digits, if they are as the bank makes
// them; an order's are followed by 32 hex digits.
func OtherMerchant(key, bankOrderID string) bool {
	id, key := unprefixed(bankOrderID), unprefixed(key)
	merchant := id[:max(0, len(id)-32)]
	return merchant != "" && key != "" && strings.Trim(merchant, "0123456789") == "" && !strings.HasPrefix(key, merchant)
}

// unprefixed returns a key or ID without its prefix, such as skey_test_.
func unprefixed(text string) string {
	parts := strings.SplitN(text, "_", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// merchantDigits returns the digits after a key's prefix: the merchant's number, and
// perhaps more.
func merchantDigits(key string) string {
	parts := strings.SplitN(key, "_", 3)
	rest := parts[len(parts)-1]
	return rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
}

// shortestMerchant is the shortest merchant number seen.
const shortestMerchant = 5

// OtherMerchantKey reports whether two keys are certainly of two merchants.
func OtherMerchantKey(a, b string) bool { return !sameMerchant(merchantDigits(a), merchantDigits(b)) }

// sameMerchant reports whether two keys with these digits may have the same merchant.
func sameMerchant(a, b string) bool {
	common := 0
	for common < min(len(a), len(b)) && a[common] == b[common] {
		common++
	}
	return common >= min(len(a), len(b), shortestMerchant)
}
