package config

import (
	"net/url"
	"strings"
	"testing"
)

// TestChecks gives every key what it takes, normalized, and what it does not.
func TestChecks(t *testing.T) {
	t.Parallel()
	urls := []string{"http://x.example", "ftp://x.example", "//x.example", "https://", "https:x", "https://u@x.example", "https://x.example?a", "https://x.example/#", "https://x.example:0", " https://x.example", "x.example"}
	for name, test := range map[string]struct {
		good map[string]string // "" = unchanged
		bad  []string
	}{
		"env":                {good: map[string]string{"dev": "", "0-a": ""}, bad: []string{"", "-a", "A", "a_b", "a.b", "é", strings.Repeat("a", 65)}},
		"output":             {good: map[string]string{"table": "", "qr": ""}, bad: []string{"", "xml", "JSON"}},
		"ledger":             {good: map[string]string{"sqlite": "", "none": "", "postgres://h1:1,h2:2/d": "", "postgresql:///d": ""}, bad: []string{"", "SQLite", "postgres://", "mysql://h/d", "postgres://h/a b", "host=h", "postgres://h/\n"}},
		"base_url":           {good: map[string]string{"https://x.example": ""}, bad: append(urls, "")},
		"auth.domain":        {good: map[string]string{"": "", "https://x.example/": "https://x.example"}, bad: urls},
		"auth.endpoint":      {good: map[string]string{"": "", "http://127.0.0.1:9229": ""}, bad: urls},
		"kbank.script_url":   {good: map[string]string{"": "", "https://x.example/k.min.js": ""}, bad: urls},
		"live":               {good: map[string]string{"true": "", "FALSE": "false"}, bad: []string{"", "yes", "1", "on"}},
		"source":             {good: map[string]string{"qr": "", "wechat": ""}, bad: []string{"", "QR", "card"}},
		"timeout":            {good: map[string]string{"1ms": "", "10m": "", "1m30s": ""}, bad: []string{"", "30", "1.5", "0s", "-1s", "10m1s", "soon", "1d"}},
		"order_path":         {good: map[string]string{"/qrpayment": "", "/kbank/order": "", "/a/": ""}, bad: []string{"", "/", "a", "//evil.example/a", "/a//b", "/../a", "/a/..", "/./a", "/%2e%2e/a", "/a?b", "/a#b", "/{orderid}", "/a\\b", "https://x/a"}},
		"status_path":        {good: map[string]string{"": "", "/a/{orderid}": "", "/{orderid}/x?o={orderid}": "", "/{orderid}?q=%2e": ""}, bad: []string{"/a", "a/{orderid}", "//evil.example/{orderid}", "/../{orderid}", "/%2e%2E/{orderid}", "/{orderid}/{x}", "/{orderid}#", "/ {orderid}", "https://x/{orderid}"}},
		"status_paid":        {good: map[string]string{"": "", "PAID": "", "a, b": "a,b", "จ่ายแล้ว": ""}, bad: []string{"a b", "a,,b", ",", `"a"`, "a\u202e"}},
		"idempotency_header": {good: map[string]string{"Idempotency-Key": "", "x-key": ""}, bad: []string{"", "authorization", "Content-Type", "HOST", "a b", "a:b", "é", "Transfer-Encoding"}},
		"qr_content":         {good: map[string]string{"{{.id}}": "", "https://x/?o={{.id}}": "", "{{ .a.b }}": ""}, bad: []string{"", " ", "{{", "{{.id", "{{nosuch .id}}", "{{end}}", `{{define "x"}}y{{end}}`, "{{.id | urlquery}}", "{{if .a}}{{.a}}{{end}}"}},
		"auth.scheme":        {good: map[string]string{"": "", "Bearer": ""}, bad: []string{"bearer", "Basic"}},
		"auth.region":        {good: map[string]string{"ap-southeast-1": "", "us-iso-east-1": ""}, bad: []string{"", "evil.example/", "US-EAST-1", "us--1", "us", "a-b-c.d"}},
		"auth.user_pool_id":  {good: map[string]string{"": "", "ap-southeast-1_AbC": "", "00123": ""}, bad: []string{"a/b", "a b", "é", strings.Repeat("a", 129)}},
		"auth.client_id":     {good: map[string]string{"": "", "1abc+x": ""}, bad: []string{"a&b"}},
		"auth.callback_ports": {
			good: map[string]string{"1024": "", "8976, 65535": "8976,65535"}, bad: []string{"", "1023", "65536", "08976", "+8976", "0x2000", "8976,", "1e4", "-1"},
		},
		"kbank.api_url":    {good: map[string]string{"": "", "http://[::1]:80": "http://[::1]"}, bad: urls},
		"kbank.sof_qr":     {good: map[string]string{"": "", "ThaiQR": ""}, bad: []string{"Thai QR", "é", strings.Repeat("a", 65)}},
		"kbank.sof_wechat": {good: map[string]string{"": "", "WECHAT_PAY": ""}, bad: []string{"a/b"}},
		"kbank.public_key": {good: map[string]string{"": "", "pkey_test_1": ""}, bad: []string{"skey_test_1", " SKEY_x", "a b"}},
		"kbank.shop_name":  {good: map[string]string{"": "", "Villa ร้าน #1": ""}, bad: []string{"a\nb", "a\x1b[2J", "a\u202eb", strings.Repeat("x", 201)}},
	} {
		k, ok := lookup(append(topKeys(), envKeys()...), name)
		if !ok {
			t.Errorf("there is no key %s", name)
			continue
		}
		for text, want := range test.good {
			if want == "" {
				want = text
			}
			if got, err := k.check(text); err != nil || got != want {
				t.Errorf("%s: %q became %q, %v, want %q", name, text, got, err, want)
			}
		}
		for _, text := range test.bad {
			if got, err := k.check(text); err == nil {
				t.Errorf("%s: %q was taken as %q", name, text, got)
			}
		}
		if _, err := k.check(k.builtIn); err != nil && name != "base_url" {
			t.Errorf("%s: the built-in value is invalid: %v", name, err)
		}
	}
}

func TestNormalizeURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		devURL:                            devURL,
		prodURL:                           prodURL,
		"HTTPS://X.Example.:0443//a/./b/": "https://x.example/a/b",
		"https://x.example/a/../b":        "https://x.example/b",
		"https://x.example/../..":         "https://x.example",
		"https://x.example:8443/":         "https://x.example:8443",
		"https://x.example:":              "https://x.example",
		"https://x.example/a%20b":         "https://x.example/a%20b",
		"http://LOCALHOST:80":             "http://localhost",
		"http://127.0.0.1:8080/x":         "http://127.0.0.1:8080/x",
		"http://[0:0:0:0:0:0:0:1]:9/":     "http://[::1]:9",
		"https://[2001:DB8::1]":           "https://[2001:db8::1]",
		"https://localhost":               "https://localhost",
		"http://127.0.0.1.evil.example":   "",
		"http://127.1":                    "",
		"http://127.0.0.2":                "",
		"http://0x7f000001":               "",
		"http://[::ffff:127.0.0.1]":       "",
		"http://localhost.evil.example":   "",
		"http://localhost@evil.example":   "",
		"https://x.example\\@y.example":   "",
		"https://x.example/%2e%2e/a":      "",
		"https://x.example/a%2Fb":         "",
		"https://x.example/%61":           "",
		"https://x.example/é":             "",
		"https://x.example/%00":           "",
		"https://é.example":               "",
		"https://a..b":                    "",
		"https://.":                       "",
		"https://[fe80::1%25eth0]":        "",
		"https://x.example:65536":         "",
		"https://x.example:1:2":           "",
		"https://*.example":               "",
		"https://x.example\n":             "",
	} {
		got, err := normalizeURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q became %q, %v, want %q", in, got, err, want)
		}
	}
}

// FuzzNormalizeURL: the form is stable, on the host that was asked for, and safe.
func FuzzNormalizeURL(f *testing.F) {
	for _, seed := range []string{devURL, "http://[::1]:80//a/..", "https://X.y.:443/%2e?#", "https://a:b@c", "http:\\\\x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := normalizeURL(text)
		if err != nil {
			return
		}
		second, err := normalizeURL(first)
		if err != nil || second != first {
			t.Fatalf("%q became %q, then %q, %v", text, first, second, err)
		}
		asked, _ := url.Parse(text)
		u, err := url.Parse(first)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(first, "/") || u.Scheme != asked.Scheme {
			t.Fatalf("%q became %q", text, first)
		}
		if host := u.Hostname(); u.Scheme != "https" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
			t.Fatalf("%q became %q", text, first)
		}
		if host := strings.TrimSuffix(asked.Hostname(), "."); !strings.Contains(host, ":") && !strings.EqualFold(host, u.Hostname()) {
			t.Fatalf("%q goes to %q", text, u.Hostname())
		}
	})
}
