package config

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/atomicfile"
)

// edits are the operations by name, for tables.
func (w world) run(t *testing.T, args ...string) error {
	t.Helper()
	ctx := t.Context()
	switch args[0] {
	case "use":
		return Use(ctx, w.lookup, args[1])
	case "add":
		return Add(ctx, w.lookup, args[1], args[2], len(args) > 3)
	case "remove":
		return Remove(ctx, w.lookup, args[1])
	case "set":
		return Set(ctx, w.lookup, args[1], args[2], args[3])
	case "unset":
		_, err := Unset(ctx, w.lookup, args[1], args[2])
		return err
	}
	t.Fatalf("no operation %s", args[0])
	return nil
}

// TestEditKeepsTheRest: each edit changes its own lines, to the byte.
func TestEditKeepsTheRest(t *testing.T) {
	t.Parallel()
	const base = `# ours

env: dev                      # the selected one
output: "json" # quoted

envs:
  # mine is mine
  mine:   # here

    base_url: 'https://x.example' # it''s
    status_paid:
      - PAID # says Ann
      - DONE
    qr_content: |
      # not a comment
      {{.id}}
    # before auth
    auth:
      region: us-east-1   # far
    # after auth

  # then the others
  dev:
    timeout:   # later
  prod: {source: wechat, auth: {region: us-east-1}} # flow

# the end
`
	for name, test := range map[string]struct {
		args     []string
		old, new string
	}{
		"replace a plain value":      {[]string{"use", "mine"}, "env: dev                      #", "env: mine                     #"},
		"a longer value":             {[]string{"set", "", "ledger", "none"}, "quoted\n", "quoted\n"},
		"a quoted value":             {[]string{"set", "", "output", "table"}, `output: "json" #`, `output: table  #`},
		"an escaped quote":           {[]string{"set", "mine", "base_url", "https://longer.example/path"}, `'https://x.example' #`, `https://longer.example/path #`},
		"a list of lines":            {[]string{"set", "mine", "status_paid", "OK"}, "status_paid:\n      - PAID # says Ann\n      - DONE\n", "# says Ann\n    status_paid: [OK]\n"},
		"a block of text":            {[]string{"set", "mine", "qr_content", "{{.id}}"}, "qr_content: |\n      # not a comment\n      {{.id}}\n", "qr_content: '{{.id}}'\n"},
		"a text of lines":            {[]string{"set", "mine", "qr_content", "a\n{{.id}}"}, "qr_content: |\n      # not a comment\n      {{.id}}\n", "qr_content: \"a\\n{{.id}}\"\n"},
		"a nested value":             {[]string{"set", "mine", "auth.region", "eu-west-1"}, "us-east-1   # far", "eu-west-1   # far"},
		"a new nested value":         {[]string{"set", "mine", "auth.user_pool_id", "00123"}, "# far\n", "# far\n      user_pool_id: \"00123\"\n"},
		"a new section":              {[]string{"set", "mine", "kbank.shop_name", "true"}, "# far\n", "# far\n    kbank:\n      shop_name: \"true\"\n"},
		"an empty value":             {[]string{"set", "dev", "timeout", "5s"}, "timeout:   # later", "timeout: 5s # later"},
		"in flow style":              {[]string{"set", "prod", "timeout", "5s"}, "us-east-1}} # flow", "us-east-1}, timeout: 5s} # flow"},
		"nested in flow style":       {[]string{"set", "prod", "auth.scheme", "Bearer"}, "us-east-1}} # flow", "us-east-1, scheme: Bearer}} # flow"},
		"replaced in flow style":     {[]string{"set", "prod", "source", "qr"}, "wechat, auth: {region: us-east-1}}", "qr, auth: {region: us-east-1}}    "},
		"removed in flow style":      {[]string{"unset", "prod", "source"}, "source: wechat, auth: {region: us-east-1}}", "auth: {region: us-east-1}}                "},
		"a new environment":          {[]string{"add", "new", "https://N.example/", "live"}, "# flow\n", "# flow\n  new:\n    base_url: https://n.example\n    live: true\n"},
		"a built-in's first value":   {[]string{"set", "sandbox", "source", "wechat"}, "# flow\n", "# flow\n  sandbox:\n    source: wechat\n"},
		"remove a value":             {[]string{"unset", "mine", "auth.region"}, "      region: us-east-1   # far\n", ""},
		"remove a list":              {[]string{"unset", "mine", "status_paid"}, "    status_paid:\n      - PAID # says Ann\n      - DONE\n", ""},
		"remove a section":           {[]string{"unset", "mine", "auth"}, "    auth:\n      region: us-east-1   # far\n", ""},
		"remove a top value":         {[]string{"unset", "", "output"}, "output: \"json\" # quoted\n", ""},
		"remove the selection":       {[]string{"unset", "", "env"}, "env: dev                      # the selected one\n", ""},
		"remove what is not there":   {[]string{"unset", "dev", "source"}, "", ""},
		"remove an environment":      {[]string{"remove", "mine"}, base[strings.Index(base, "  mine:"):strings.Index(base, "    # after auth")], ""},
		"an empty list":              {[]string{"set", "dev", "status_paid", ""}, "# later\n", "# later\n    status_paid: []\n"},
		"an empty text":              {[]string{"set", "dev", "status_path", ""}, "# later\n", "# later\n    status_path: \"\"\n"},
		"a list of numbers":          {[]string{"set", "dev", "auth.callback_ports", "2000, 3000"}, "# later\n", "# later\n    auth:\n      callback_ports: [2000, 3000]\n"},
		"a list of words like these": {[]string{"set", "dev", "status_paid", "true,null,1,PAID"}, "# later\n", "# later\n    status_paid: [\"true\", \"null\", \"1\", PAID]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := strings.Replace(base, test.old, test.new, 1)
			if name == "a longer value" { // a new key at the top goes to the end, before the last comment
				want = strings.Replace(base, "# flow\n", "# flow\nledger: none\n", 1)
			}
			for ends, text := range map[string][2]string{
				"LF":             {base, want},
				"CRLF":           {strings.ReplaceAll(base, "\n", "\r\n"), strings.ReplaceAll(want, "\n", "\r\n")},
				"no end of line": {strings.TrimSuffix(base, "\n"), strings.TrimSuffix(want, "\n")},
			} {
				w := newWorld(t, text[0])
				if err := w.run(t, test.args...); err != nil {
					t.Fatalf("%s: %v", ends, err)
				}
				if diff := cmp.Diff(text[1], w.text(t)); diff != "" {
					t.Errorf("%s: %s", ends, diff)
				}
				w.load(t, Flags{})
			}
		})
	}
}

// TestEditOddFiles: files that hold little, or are laid out for machines.
func TestEditOddFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, want string
	}{
		"no file":              {"", "env: prod\n"},
		"an empty line":        {"\n", "\nenv: prod\n"},
		"only comments":        {"# env: dev\n#\n# envs:", "# env: dev\n#\n# envs:\nenv: prod\n"},
		"a document's start":   {"%YAML 1.1\n--- # c\n", "%YAML 1.1\n--- # c\nenv: prod\n"},
		"BOM":                  {"\ufeffenv: dev # c\n", "env: prod # c\n"},
		"JSON":                 {`{"output": "json"}`, "{\"output\": \"json\", env: prod}\n"},
		"JSON with it":         {`{"output": "json", "env": "dev"}`, "{\"output\": \"json\", \"env\": prod}\n"},
		"nothing in flow":      {"{}\n", "{env: prod}\n"},
		"on the next line":     {"env: # so\n  # why\n  dev\noutput: json\n", "# so\n# why\nenv: prod\noutput: json\n"},
		"in quoted lines":      {"env: \"de\\\n  v\"\noutput: json\n", "env: prod\noutput: json\n"},
		"indented":             {"  env: dev\n  output: json\n", "  env: prod\n  output: json\n"},
		"a document's end":     {"output: json\n...\n", "output: json\nenv: prod\n...\n"},
		"explicit keys":        {"? env\n: dev\n", "env: prod\n"},
		"a key without a word": {"env:\noutput: json\n", "env: prod\noutput: json\n"},
		"a null":               {"env: ~ # c\n", "env: prod # c\n"},
		"behind the next line": {"env:\n  dev # inline\n", "# inline\nenv: prod\n"},
		"a comment on a block": {"env: >- # why\n  dev\n", "# why\nenv: prod\n"},
	} {
		w := newWorld(t, test.text)
		err := Use(t.Context(), w.lookup, "prod")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, w.text(t)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if c := w.load(t, Flags{}); c.Profile.Name != "prod" {
			t.Errorf("%s: selected %s", name, c.Profile.Name)
		}
	}
}

// TestEmptyMappings: a first key goes into a mapping that holds none.
func TestEmptyMappings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"envs:\n\n# c\noutput: json\n":        "envs:\n  dev:\n    source: qr\n\n# c\noutput: json\n",
		"envs: {} # c\noutput: json\n":        "envs:    # c\n  dev:\n    source: qr\noutput: json\n",
		"envs:\n  dev: {}\noutput: json\n":    "envs:\n  dev:\n    source: qr\noutput: json\n",
		"envs:\n  dev:   # c\noutput: qr\n":   "envs:\n  dev:   # c\n    source: qr\noutput: qr\n",
		"envs:\n    dev:\n        live: true": "envs:\n    dev:\n        live: true\n        source: qr\n",
		"envs: ~\n":                           "envs:\n  dev:\n    source: qr\n",
	} {
		w := newWorld(t, text)
		if err := Set(t.Context(), w.lookup, "dev", "source", "qr"); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, w.text(t)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// TestRejectedEdits: what is wrong is rejected before the file is touched.
func TestRejectedEdits(t *testing.T) {
	t.Parallel()
	const text = "env: mine # c\nenvs:\n  mine:\n    base_url: https://x.example\n  other: {base_url: https://y.example}\n"
	for name, test := range map[string]struct {
		args []string
		says []string
	}{
		"use an unknown":          {[]string{"use", "mnie"}, []string{`no environment "mnie"`, `"mine"?`}},
		"add a built-in":          {[]string{"add", "prod", "https://z.example"}, []string{"already"}},
		"add one again":           {[]string{"add", "mine", "https://z.example"}, []string{"already"}},
		"add without https":       {[]string{"add", "z", "http://z.example"}, []string{"--base-url", "https"}},
		"add a bad name":          {[]string{"add", "Z", "https://z.example"}, []string{"not an environment's name"}},
		"remove a built-in":       {[]string{"remove", "dev"}, []string{"built in", "env unset KEY -e dev`"}},
		"remove the selected":     {[]string{"remove", "mine"}, []string{"selected", "villapay env use dev"}},
		"remove an unknown":       {[]string{"remove", "othr"}, []string{`"other"?`}},
		"set an unknown key":      {[]string{"set", "mine", "timout", "3s"}, []string{`unknown key "timout"`, `"timeout"?`}},
		"set a section":           {[]string{"set", "mine", "auth", "x"}, []string{"unknown key"}},
		"set env":                 {[]string{"set", "mine", "env", "dev"}, []string{"villapay env use"}},
		"set a wrong value":       {[]string{"set", "mine", "timeout", "30"}, []string{"such as 30s"}},
		"set a wrong word":        {[]string{"set", "mine", "source", "foo"}, []string{`source must be qr or wechat, not "foo"`}},
		"set a wrong URL":         {[]string{"set", "mine", "auth.domain", "login.example"}, []string{"https://"}},
		"set on an unknown":       {[]string{"set", "nosuch", "timeout", "3s"}, []string{`no environment "nosuch"`}},
		"set the sandbox's":       {[]string{"set", "sandbox", "base_url", "https://x.example"}, []string{"embedded"}},
		"set the sandbox live":    {[]string{"set", "sandbox", "live", "true"}, []string{"never live"}},
		"set a password":          {[]string{"set", "mine", "auth.password", "hunter22"}, []string{"VILLAPAY_PASSWORD"}},
		"set a client secret":     {[]string{"set", "mine", "client_secret", "hunter22"}, []string{"VILLAPAY_CLIENT_SECRET"}},
		"set a token":             {[]string{"set", "mine", "token", "hunter22"}, []string{"VILLAPAY_TOKEN"}},
		"set a secret key":        {[]string{"set", "mine", "kbank.secret_key", "hunter22"}, []string{"VILLAPAY_KBANK_SECRET"}},
		"set a webhook's secret":  {[]string{"set", "mine", "webhook.secret", "hunter22"}, []string{"VILLAPAY_WEBHOOK_SECRET"}},
		"set the sandbox's bank":  {[]string{"set", "sandbox", "kbank.api_url", "https://x.example"}, []string{"embedded"}},
		"a secret as public":      {[]string{"set", "mine", "kbank.public_key", "skey_hunter22"}, []string{"secret key"}},
		"a ledger's password":     {[]string{"set", "", "ledger", "postgres://a:hunter22@h/d"}, []string{"is never stored in this file", "VILLAPAY_LEDGER"}},
		"one with an @":           {[]string{"set", "", "ledger", "postgres://h/d?user=a&password=hunter22%40x"}, []string{"is never stored in this file"}},
		"unset what is needed":    {[]string{"unset", "mine", "base_url"}, []string{"envs.mine has no base_url"}},
		"unset an unknown key":    {[]string{"unset", "mine", "sorce"}, []string{`"source"?`}},
		"unset on an unknown":     {[]string{"unset", "nosuch", "source"}, []string{`no environment "nosuch"`}},
		"unset every environment": {[]string{"unset", "", "envs"}, []string{"env remove"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, text)
			err := w.run(t, test.args...)
			wantError(t, err, KindUsage, test.says...)
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%q shows a secret", err)
			}
			if w.text(t) != text {
				t.Errorf("the file changed to %q", w.text(t))
			}
		})
	}
	w := newWorld(t, text, "VILLAPAY_ENV", "other")
	wantError(t, Remove(t.Context(), w.lookup, "other"), KindUsage, "selected")
	w = newWorld(t, "env: dev\n", "VILLAPAY_ENV", "gone")
	wantError(t, Set(t.Context(), w.lookup, "", "source", "qr"), KindConfig, "the selected environment", `"gone"`)
}

// TestSelectedEnvironment: edits without a name go where commands would.
func TestSelectedEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "env: prod\n")
	if err := Set(t.Context(), w.lookup, "", "source", "wechat"); err != nil {
		t.Fatal(err)
	}
	w.vars["VILLAPAY_ENV"] = "dev"
	if err := Set(t.Context(), w.lookup, "", "timeout", "5s"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("env: prod\nenvs:\n  prod:\n    source: wechat\n  dev:\n    timeout: 5s\n", w.text(t)); diff != "" {
		t.Error(diff)
	}
	if removed, err := Unset(t.Context(), w.lookup, "", "timeout"); err != nil || !removed {
		t.Errorf("removed %t, %v", removed, err)
	}
	if removed, err := Unset(t.Context(), w.lookup, "", "timeout"); err != nil || removed {
		t.Errorf("removed %t again, %v", removed, err)
	}
}

// TestRepair: a file that cannot be read is put right by the commands that its
// error names.
func TestRepair(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text  string
		edits [][]string
	}{
		"unknown keys, one by one": {"foo: 1\nbar: [2]\nenvs:\n  dev:\n    baz: {a: 1}\n    auth: {qux: 1}\n", [][]string{{"unset", "", "foo"}, {"unset", "", "bar"}, {"unset", "dev", "baz"}, {"unset", "dev", "auth.qux"}}},
		"a key at the top":         {"source: qr\nenvs:\n  dev: {timeout: 3s}\n", [][]string{{"unset", "", "source"}}},
		"a top key below":          {"output: json\nenvs:\n  dev: {output: csv, timeout: 3s}\n", [][]string{{"unset", "dev", "output"}}},
		"a dotted key":             {"envs:\n  dev:\n    auth.region: x\n    auth: {region: us-east-1}\n    timeout: 3s\n", [][]string{{"unset", "dev", "auth.region"}}},
		"a key twice":              {"output: json\noutput: csv\nenvs:\n  dev: {timeout: 3s}\n", [][]string{{"unset", "", "output"}}},
		"a wrong value, set":       {"envs:\n  dev:\n    timeout: 30\n", [][]string{{"set", "dev", "timeout", "3s"}}},
		"a wrong value, unset":     {"envs:\n  dev:\n    source: card\n    timeout: 3s\n", [][]string{{"unset", "dev", "source"}}},
		"a wrong type":             {"envs:\n  dev:\n    source: [qr]\n    timeout: 3s\n", [][]string{{"set", "dev", "source", "qr"}}},
		"a lost selection":         {"env: gone\nenvs:\n  dev: {timeout: 3s}\n", [][]string{{"use", "dev"}}},
		"a lost selection, unset":  {"env: gone\nenvs:\n  dev: {timeout: 3s}\n", [][]string{{"unset", "", "env"}}},
		"a bad environment":        {"envs:\n  Prod-TH: {base_url: https://x.example}\n  dev: {timeout: 3s}\n", [][]string{{"remove", "Prod-TH"}}},
		"an address missing":       {"envs:\n  mine: {live: true}\n  dev: {timeout: 3s}\n", [][]string{{"set", "mine", "base_url", "https://x.example"}}},
		"a secret":                 {"token: hunter22\nenvs:\n  dev: {timeout: 3s}\n", [][]string{{"unset", "", "token"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.text)
			if _, err := Load(w.lookup, Flags{}); err == nil {
				t.Fatal("the file is not wrong")
			}
			for _, args := range test.edits {
				if err := w.run(t, args...); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
			}
			c := w.load(t, Flags{})
			if want := strings.Contains(test.text, "timeout"); want != (c.Profile.Timeout.Seconds() == 3) {
				t.Errorf("timeout is %s; the file is %q", c.Profile.Timeout, w.text(t))
			}
		})
	}
}

// TestUnsetEnds: a key that is no word is nobody's name, the empty one neither.
func TestUnsetEnds(t *testing.T) {
	t.Parallel()
	const text = "? {a: b}\n: x\n"
	w := newWorld(t, text)
	wantError(t, w.run(t, "unset", "", ""), KindUsage, `unknown key ""`)
	if w.text(t) != text {
		t.Errorf("the file became %q", w.text(t))
	}
	w = newWorld(t, "env: dev\n\"\": x\n? [a]\n: y\n'': z\n")
	if err := w.run(t, "unset", "", ""); err != nil {
		t.Error(err)
	}
	if got := w.text(t); got != "env: dev\n? [a]\n: y\n" {
		t.Errorf("the file became %q", got)
	}
}

// TestPathsAreSetBelowNoLiveURL: what Load would reject is not written.
func TestPathsAreSetBelowNoLiveURL(t *testing.T) {
	t.Parallel()
	const text = "envs:\n  mine: {base_url: https://shop.villamarket.com/api}\n"
	w := newWorld(t, text)
	for key, value := range map[string]string{"order_path": "/payment3api/qrpayment", "status_path": "/payment3api/s/{orderid}"} {
		wantError(t, w.run(t, "set", "mine", key, value), KindUsage, "set "+key, "below that of prod, which is live")
	}
	if w.text(t) != text {
		t.Errorf("the file became %q", w.text(t))
	}
	if err := w.run(t, "set", "mine", "order_path", "/payment3devapi/qrpayment"); err != nil {
		t.Error(err)
	}
}

// TestStaysLive: what an edit cannot change is not said to be changed.
func TestStaysLive(t *testing.T) {
	t.Parallel()
	const text = "envs:\n  main: {base_url: https://shop.example/pay, live: true}\n  shop: {base_url: https://shop.example/pay, live: true}\n"
	for env, twin := range map[string]string{"prod": "prod", "shop": "main"} {
		w := newWorld(t, text)
		wantError(t, w.run(t, "set", env, "live", "false"), KindUsage, env+" stays live", "base_url is the live one of "+twin, "env set base_url URL -e "+env)
		if w.text(t) != text {
			t.Errorf("the file became %q", w.text(t))
		}
		for _, args := range [][]string{{"set", env, "base_url", "https://test.example"}, {"set", env, "live", "false"}} {
			if err := w.run(t, args...); err != nil {
				t.Errorf("%v: %v", args, err)
			}
		}
		if w.load(t, Flags{Env: env}).Profile.Live {
			t.Errorf("%s is live still", env)
		}
	}
}

// TestBeyondRepair: where no key can be relied on, the file's own error comes.
func TestBeyondRepair(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"env: [\n":                     "not a YAML file",
		"- env\n":                      "not a list",
		"envs: &a\n  dev: *a\n":        "envs.dev must contain keys, not an alias",
		"envs: [dev]\n":                "envs must contain keys, not a list",
		"envs:\n  dev:\n    auth: x\n": "envs.dev.auth must contain keys",
		"envs:\n  dev:\n    auth:\n      region: us-east-1\n      region: us-east-1\n": `envs.dev.auth has "region" twice`,
	} {
		w := newWorld(t, text)
		wantError(t, Set(t.Context(), w.lookup, "dev", "auth.region", "us-east-1"), KindConfig, says)
		if w.text(t) != text {
			t.Errorf("%q became %q", text, w.text(t))
		}
	}
}

// TestCommentsOfLists: those within a list of several lines stand above the new
// one, which has a line of its own.
func TestCommentsOfLists(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list, want string
	}{
		"in flow":         {"status_paid: [a, # first\n      b] # second\n", "# first\n    # second\n    status_paid: [OK]\n"},
		"without a blank": {"status_paid: [a,# first\n      b]\n", "# first\n    status_paid: [OK]\n"},
		"on own lines":    {"status_paid: [\n      # first\n      'a', \"b\",\n    ] # second\n", "# first\n    # second\n    status_paid: [OK]\n"},
		"with a # inside": {"status_paid: [\"a #b\", # first\n      'c# d']\n", "# first\n    status_paid: [OK]\n"},
		"in a block":      {"status_paid: # these\n      # first\n      - a # by Ann\n\n      # second\n      - b\n", "# these\n    # first\n    # by Ann\n    # second\n    status_paid: [OK]\n"},
	} {
		const before, after = "envs:\n  dev:\n    ", "    source: qr\n"
		for _, ends := range []string{"\n", "\r\n"} {
			w := newWorld(t, strings.ReplaceAll(before+test.list+after, "\n", ends))
			if err := Set(t.Context(), w.lookup, "dev", "status_paid", "OK"); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if diff := cmp.Diff(strings.ReplaceAll(before+test.want+after, "\n", ends), w.text(t)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// TestCommentsWin: an edit that would cost a comment is left to people.
func TestCommentsWin(t *testing.T) {
	t.Parallel()
	for text, args := range map[string][]string{
		"{output: json, # why\n env: dev}\n":  {"unset", "", "output"},
		"{output: json,\t# why\n env: dev}\n": {"use", "prod"},
	} {
		w := newWorld(t, text)
		wantError(t, w.run(t, args...), KindConfig, "cannot be edited", "by hand")
		if w.text(t) != text {
			t.Errorf("%q became %q", text, w.text(t))
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	w := newWorld(t, "")
	w.write(t, "env: dev\n", 0o644)
	w.vars["VILLAPAY_CONFIG_DIR"] = filepath.Join(w.dir, "a", "b")
	if err := Use(t.Context(), w.lookup, "prod"); err != nil {
		t.Fatal(err)
	}
	w.vars["VILLAPAY_CONFIG_DIR"] = w.dir
	if err := Use(t.Context(), w.lookup, "prod"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"config.yaml": 0o600, "config.yaml.lock": 0o600, "a/b/config.yaml": 0o600, "a": 0o700, "a/b": 0o700} {
		info, err := os.Stat(filepath.Join(w.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
	}
}

// TestSymlink: the file behind the link is edited, and the link stays.
func TestSymlink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	target := filepath.Join(t.TempDir(), "villapay.yaml")
	if err := os.WriteFile(target, []byte("env: dev # c\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, w.path()); err != nil {
		t.Skip("this system makes no symbolic links:", err)
	}
	if err := Use(t.Context(), w.lookup, "prod"); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(w.path()); err != nil || to != target {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if text, _ := os.ReadFile(target); string(text) != "env: prod # c\n" {
		t.Errorf("the target holds %q", text)
	}
	if files, _ := os.ReadDir(filepath.Dir(target)); len(files) != 1 {
		t.Errorf("files were left beside the target: %v", files)
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "env: dev\n")
	unlock, err := atomicfile.Lock(t.Context(), w.path(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Use(ctx, w.lookup, "prod") }()
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
	if w.text(t) != "env: dev\n" {
		t.Errorf("the file changed to %q", w.text(t))
	}
}

// Several values are written together, or none of them.
func TestSetAll(t *testing.T) {
	t.Parallel()
	const before = "# ours\nenvs:\n  dev:\n    source: wechat\n"
	w := newWorld(t, before)
	pool := [2]string{"auth.user_pool_id", "eu-west-1_Ab"}
	wantError(t, SetAll(t.Context(), w.lookup, "dev", pool, [2]string{"auth.client_id", "bar baz"}), KindUsage, "auth.client_id", `"bar baz"`)
	if after := w.text(t); after != before {
		t.Errorf("it wrote\n%s", after)
	}
	if err := SetAll(t.Context(), w.lookup, "dev", pool, [2]string{"auth.region", "eu-west-1"}, [2]string{"auth.client_id", "c"}); err != nil {
		t.Fatal(err)
	}
	p := w.load(t, Flags{}).Profile
	if p.Auth.UserPoolID != pool[1] || p.Auth.Region != "eu-west-1" || p.Auth.ClientID != "c" {
		t.Errorf("%+v", p.Auth)
	}
}
