package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestBadFiles: a file that is wrong anywhere is an error that says where.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		says []string
	}{
		"no YAML":                  {"env: dev\n  x: [\n", []string{"config.yaml is not a YAML file", "line 2"}},
		"a tab":                    {"envs:\n\tdev:\n", []string{"not a YAML file"}},
		"not UTF-8":                {"env: \xff\xfe\xfd\n", []string{"not a YAML file"}},
		"a word":                   {"hello\n", []string{"line 1", "must contain keys, not a single value"}},
		"a list":                   {"- env\n", []string{"line 1", "not a list"}},
		"two documents":            {"env: dev\n---\nenv: prod\n", []string{"more than one document"}},
		"unknown key":              {"env: dev\noutptu: json\n", []string{"line 2", `unknown key "outptu"`, `did you mean "output"?`}},
		"unknown key below":        {"envs:\n  dev:\n    auth:\n      user_pool: x\n", []string{"line 4", `"envs.dev.auth.user_pool"`, `"auth.user_pool_id"?`}},
		"key in the wrong place":   {"envs:\n  dev:\n    region: x\n", []string{"line 3", `did you mean "auth.region"?`}},
		"environment's key on top": {"source: qr\n", []string{`unknown key "source"`, "move it into an environment"}},
		"top key below":            {"envs:\n  dev:\n    output: qr\n", []string{"move it to the top of the file"}},
		"dotted key":               {"envs:\n  dev:\n    auth.region: us-east-1\n", []string{"line 3", `write "region" on a line of its own below "auth"`}},
		"from the future":          {"retention: {days: 30}\n", []string{`unknown key "retention"`, "older than the file", "villapay env unset retention"}},
		"key in another case":      {"envs:\n  dev:\n    Base_URL: https://x.example\n", []string{"line 3", `did you mean "base_url"?`}},
		"two cases":                {"envs:\n  dev:\n    source: qr\n    Source: wechat\n", []string{"line 4", `"source"?`}},
		"environments' case":       {"envs:\n  Prod-TH:\n    base_url: https://x.example\n", []string{"line 2", `"Prod-TH" is not an environment's name`}},
		"twice":                    {"env: dev\noutput: json\nenv: prod\n", []string{"line 3", `"env" twice`, "line 1"}},
		"twice below":              {"envs:\n  dev: {source: qr}\n  dev: {source: wechat}\n", []string{"line 3", `"dev" twice`}},
		"a list for a word":        {"env: [dev]\n", []string{"line 1", "single value, not a list"}},
		"a word for a list":        {"envs:\n  dev:\n    status_paid: PAID\n", []string{"line 3", "a list such as [a, b]"}},
		"a comma in a list":        {"envs:\n  dev:\n    status_paid: ['a,b']\n", []string{"item 1"}},
		"nothing in a list":        {"envs:\n  dev:\n    status_paid: [a, ]\n    auth:\n      callback_ports: [1024, ~]\n", []string{"line 5", "item 2"}},
		"a word for keys":          {"envs:\n  dev:\n    auth: Bearer\n", []string{"line 3", "envs.dev.auth must contain keys"}},
		"keys for a word":          {"output: {format: json}\n", []string{"not a mapping"}},
		"a strange key":            {"? [a, b]\n: c\n", []string{"not a word"}},
		"live: yes":                {"envs:\n  prod:\n    live: yes\n", []string{"line 3", `envs.prod.live must be true or false, not "yes"`}},
		"bare timeout":             {"envs:\n  dev:\n    timeout: 30\n", []string{"line 3", "such as 30s"}},
		"unknown environment":      {"# c\nenv: prdo\n", []string{"line 2", `no environment "prdo"`, `"prod"?`}},
		"no address":               {"envs:\n  mine:\n    live: true\n", []string{"line 2", "envs.mine has no base_url", "villapay env remove mine"}},
		"the sandbox's address":    {"envs:\n  sandbox:\n    base_url: https://x.example\n", []string{"line 3", "no base_url to set"}},
		"a live sandbox":           {"envs:\n  sandbox:\n    live: true\n", []string{"never live"}},
		"an alias":                 {"envs:\n  dev: &d {source: qr}\n  prod: *d\n", []string{"line 3", "envs.prod must contain keys, not an alias"}},
		"an alias of itself":       {"envs: &e\n  dev: *e\n", []string{"envs.dev must contain keys, not an alias"}},
		"a merge":                  {"envs:\n  dev:\n    <<: {source: qr}\n", []string{"unknown key"}},
		"an alias for a word":      {"env: &x dev\noutput: *x\n", []string{"line 2", "not an alias"}},
		"a password":               {"envs:\n  dev:\n    auth:\n      password: hunter22\n", []string{"line 4", "secrets are never stored in this file", "VILLAPAY_PASSWORD"}},
		"a client secret":          {"envs:\n  dev:\n    auth:\n      client_secret: hunter22\n", []string{"VILLAPAY_CLIENT_SECRET", "villapay env unset auth.client_secret -e dev"}},
		"escapes in a key":         {"\"a\\e[2J.\\e\": 1\n", []string{`unknown key "a\x1b[2J.\x1b"`, `write "\x1b"`}},
		"not quite a secret":       {"webhook_addr: x\n", []string{"unknown key", "older than the file"}},
		"a token":                  {"token: hunter22\n", []string{"VILLAPAY_TOKEN"}},
		"the bank's secret key":    {"envs:\n  dev:\n    kbank:\n      public_key: skey_test_hunter22\n", []string{"line 4", "secret key"}},
		"several":                  {"env: dev\nfoo: 1\nbar: 2\noutput: xml\n", []string{"line 2", `"foo"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.text)
			_, err := Load(w.lookup, Flags{})
			wantError(t, err, KindConfig, append(test.says, w.path())...)
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%q shows a secret", err)
			}
			if w.text(t) != test.text {
				t.Error("reading changed the file")
			}
		})
	}
}

// TestOddFiles: layouts that are right though not what one expects.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	wide := "\xff\xfe"
	for _, unit := range utf16.Encode([]rune("env: prod\r\n")) {
		wide += string([]byte{byte(unit), byte(unit >> 8)})
	}
	for name, test := range map[string]struct{ text, env string }{
		"empty":              {"\n", "dev"},
		"comments":           {"# env: prod\n", "dev"},
		"a document's start": {"---\n", "dev"},
		"null":               {"~\n", "dev"},
		"BOM":                {"\ufeffenv: prod\n", "prod"},
		"UTF-16":             {wide, "prod"},
		"CRLF":               {"env: prod\r\nenvs:\r\n  dev:\r\n    source: qr\r\n", "prod"},
		"JSON":               {`{"env": "prod", "envs": {"dev": {"live": false}}}`, "prod"},
		"nothing set":        {"env: \noutput:\nenvs:\n  dev:\n  prod: {auth: }\n", "dev"},
		"numeric name":       {"env: 12\nenvs:\n  12: {base_url: https://x.example}\n", "12"},
	} {
		w := newWorld(t, test.text)
		if c := w.load(t, Flags{}); c.Profile.Name != test.env {
			t.Errorf("%s: selected %s, want %s", name, c.Profile.Name, test.env)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, w world){
		"a directory": func(t *testing.T, w world) {
			if err := os.Mkdir(w.path(), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a link to nothing": func(t *testing.T, w world) {
			if err := os.Symlink(filepath.Join(w.dir, "gone"), w.path()); err != nil {
				t.Skip("this system makes no symbolic links:", err)
			}
		},
		"no permission": func(t *testing.T, w world) {
			if runtime.GOOS == "windows" || os.Geteuid() == 0 {
				t.Skip("root and Windows read files of any mode")
			}
			w.write(t, "env: prod\n", 0)
		},
		"a file for a directory": func(t *testing.T, w world) {
			if runtime.GOOS == "windows" {
				t.Skip("Windows says that there is no such file")
			}
			w.write(t, "", 0o600)
			w.vars["VILLAPAY_CONFIG_DIR"] = w.path()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			prepare(t, w)
			_, err := Load(w.lookup, Flags{})
			wantError(t, err, KindConfig, "read the configuration", "config.yaml", "hint: check")
			wantError(t, Use(t.Context(), w.lookup, "prod"), KindConfig, "config.yaml")
		})
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for name, test := range map[string]struct {
		goos   string
		vars   map[string]string
		config string
		state  string
	}{
		"home":         {"linux", map[string]string{"HOME": home}, home + "/.config", home + "/.local/state"},
		"XDG":          {"freebsd", map[string]string{"HOME": home, "XDG_CONFIG_HOME": home + "/c", "XDG_STATE_HOME": home + "/s"}, home + "/c", home + "/s"},
		"relative XDG": {"linux", map[string]string{"HOME": home, "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "s"}, "", ""},
		"no home":      {"linux", nil, "", ""},
		"macOS":        {"darwin", map[string]string{"HOME": home, "XDG_CONFIG_HOME": home + "/c"}, home + "/Library/Application Support", home + "/Library/Application Support"},
		"Windows":      {"windows", map[string]string{"AppData": home + "/Roaming", "LocalAppData": home + "/Local"}, home + "/Roaming", home + "/Local"},
		"bare Windows": {"windows", map[string]string{"HOME": home}, "", ""},
	} {
		env := func(name string) (string, bool) { value, set := test.vars[name]; return value, set }
		config, _ := directory(env, test.goos, "VILLAPAY_CONFIG_DIR", "AppData", "XDG_CONFIG_HOME", ".config")
		state, _ := directory(env, test.goos, "VILLAPAY_STATE_DIR", "LocalAppData", "XDG_STATE_HOME", ".local/state")
		config, state = strings.TrimSuffix(config, string(filepath.Separator)+"villapay"), strings.TrimSuffix(state, string(filepath.Separator)+"villapay")
		if config != filepath.FromSlash(test.config) || state != filepath.FromSlash(test.state) {
			t.Errorf("%s: %s and %s, want %s and %s", name, config, state, test.config, test.state)
		}
	}
	none := func(string) (string, bool) { return "", false }
	_, err := file(none)
	wantError(t, err, KindConfig, "set VILLAPAY_CONFIG_DIR and")
	_, err = StateDir(none)
	wantError(t, err, KindConfig, "VILLAPAY_STATE_DIR, or HOME")
	if dir, err := StateDir(func(name string) (string, bool) { return "here/..", name == "VILLAPAY_STATE_DIR" }); err != nil || !filepath.IsAbs(dir) || strings.Contains(dir, "..") {
		t.Errorf("a relative directory became %s, %v", dir, err)
	}
}
