package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// seeds are files of every layout that the tests above care about.
func seeds(f *testing.F, add func(text string)) {
	f.Helper()
	for _, text := range []string{
		"", "# c\n", "---\n", "~\n", everyKey, "\ufeffenv: dev\r\nenvs:\r\n  dev: # c\r\n\r\n    timeout: 3s\r\n",
		`{"env": "prod", "envs": {"dev": {"live": false}}}`, "envs: &a {dev: *a}\n", "? env\n: dev\n", "env: |\n  dev\n  # x\noutput: >-\n  qr\n",
		"envs:\n- dev\n", "envs:\n  dev:\n    status_paid:\n    - a # b\n\n    # c\n    auth: {region: us-east-1, # d\n      scheme: ''}\nenv: 'de''v' # e\n...\n",
		"env: dev\nenv: prod\n", "envs:\n  dev:\n    auth.region: x\n    auth:\n\n  mine: {base_url: \"https://x.example\"} # f",
	} {
		add(text)
	}
}

// FuzzFile: any text is an error or whole settings, whose values are in their
// normal form and make a profile of every environment.
func FuzzFile(f *testing.F) {
	seeds(f, func(text string) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text string) {
		d, err := newDocument("config.yaml", text)
		if err != nil {
			return
		}
		s, invalid := d.settings()
		if invalid != nil {
			if err := invalid; err.Error() == "" || strings.Contains(err.Error(), "line 0") {
				t.Fatalf("%q: error %q", text, invalid)
			}
			return
		}
		for _, env := range s.envs {
			for name, own := range env.keys {
				k, ok := lookup(envKeys(), name)
				if normal, err := k.check(own.text); !ok || err != nil || normal != own.text {
					t.Fatalf("%q: %s is %q, then %q, %v", text, name, own.text, normal, err)
				}
			}
		}
		for _, name := range s.names() {
			c, err := load("config.yaml", func(string) (string, bool) { return "", false }, Flags{Env: name}, s)
			if name == Sandbox {
				continue // which needs a state directory
			}
			if err != nil || c.Profile.Name != name || c.Profile.Timeout <= 0 || len(c.Profile.Auth.CallbackPorts) == 0 {
				t.Fatalf("%q: %s: %+v, %v", text, name, c, err)
			}
			if c.Profile.BaseURL == prodURL && !c.Profile.Live {
				t.Fatalf("%q: %s is prod and not live", text, name)
			}
		}
	})
}

// FuzzEdit: an edit changes its own key alone, in meaning, order and comments.
func FuzzEdit(f *testing.F) {
	seeds(f, func(text string) {
		for i, value := range []string{"x", "a,b", "00123", "# y", "a\nb"} {
			f.Add(text, "dev", uint8(i*5), value, i%2 == 0)
		}
	})
	f.Fuzz(func(t *testing.T, text, env string, index uint8, value string, set bool) {
		before, err := newDocument("config.yaml", text)
		if err != nil {
			return
		}
		s, _ := before.settings()
		k, err := settable(Keys()[int(index)%len(Keys())])
		if _, badName := checkName(env); err != nil || badName != nil || s.top == nil {
			return
		}
		path := envPath(env, k.name)
		if _, top := lookup(topKeys(), k.name); top {
			path = []string{k.name}
		}
		c := change{path: path}
		if set {
			c.value = k.node(value)
		}
		after, err := before.with(c)
		if err != nil {
			return
		}
		wantOnly(t, before, after, c)
	})
}

// wantOnly checks what a change may change.
func wantOnly(t *testing.T, before, after *document, c change) {
	t.Helper()
	own := flatten(nest(c.path, scalar("", "x")))
	prefix, _, _ := strings.Cut(own[len(own)-1], " ")
	parents := own[:len(own)-1]
	others := func(d *document) []string {
		return slices.DeleteFunc(flatten(d.root), func(line string) bool {
			rest, ok := strings.CutPrefix(line, prefix)
			return ok && (rest[0] == ' ' || rest[0] == '.') || slices.Contains(parents, line)
		})
	}
	if was, is := others(before), others(after); !slices.Equal(was, is) {
		t.Fatalf("%q became %q: %q, then %q", before.text, after.text, was, is)
	}
	if n := count(after, c.path); c.value != nil && n != 1 || c.value == nil && n != max(count(before, c.path)-1, 0) {
		t.Fatalf("%q became %q: the key is there %d times", before.text, after.text, n)
	}
	if old := before.at(c.path); old != nil && (c.value == nil || holdsHash(old)) {
		return // what is removed takes its comments along; a # in what is replaced is none
	}
	for line := range strings.Lines(before.text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") && !strings.Contains(after.text, line) {
			t.Fatalf("%q became %q: %q is lost", before.text, after.text, line)
		}
	}
}

// TestEditAnyLayout edits files drawn from every layout people write: each edit
// succeeds and changes its own key alone.
func TestEditAnyLayout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		text := layout{r}.file()
		before, err := newDocument("config.yaml", text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, invalid := before.settings(); invalid != nil {
			t.Fatalf("%q: %v", text, invalid)
		}
		k, _ := settable(rapid.SampledFrom(Keys()).Draw(r, "key"))
		path := envPath(rapid.SampledFrom([]string{"dev", "mine", "new"}).Draw(r, "env"), k.name)
		if _, top := lookup(topKeys(), k.name); top {
			path = []string{k.name}
		}
		c := change{path: path}
		if rapid.Bool().Draw(r, "set") {
			c.value = k.node(rapid.SampledFrom([]string{"x", "true", "a: b", "a #b", "'", "a\nb", ""}).Draw(r, "value"))
		}
		after, err := before.with(c)
		if err != nil {
			t.Fatalf("%q: %v: %v", text, c.path, err)
		}
		wantOnly(t, before, after, c)
		if old := before.at(c.path); c.value != nil && (old == nil || !holdsHash(old)) && strings.Count(before.text, "#") > strings.Count(after.text, "#") {
			t.Fatalf("%q: %v: a comment is lost: %q", text, c.path, after.text)
		}
	})
}

// layout draws config files.
type layout struct{ r *rapid.T }

func (l layout) pick(words ...string) string { return rapid.SampledFrom(words).Draw(l.r, "pick") }

// gap is what may stand between two entries.
func (l layout) gap(indent string) string {
	return l.pick("", "", "", "\n", indent+"# gap\n", "# left\n", "\n\n"+indent+"# gap: x\n\n")
}

func (l layout) file() string {
	step := l.pick("  ", "   ", "    ")
	parts := []string{
		"env: " + l.pick("dev", "'dev'", `"mine"   # why`) + "\n",
		"output: " + l.pick("json", "   csv # c", "\n  table") + "\n",
		"envs:" + l.pick("", "  # all") + "\n" + l.gap(step) + l.env(step, "mine", true) + l.gap(step) + l.env(step, "dev", false),
	}
	return l.gap("") + strings.Join(rapid.Permutation(parts).Draw(l.r, "order"), l.gap("")) + l.gap("")
}

func (l layout) env(step, name string, custom bool) string {
	entries := []string{}
	if custom {
		entries = append(entries, "base_url: "+l.pick("https://x.example", `"https://x.example"`, "'https://x.example' # c"))
	}
	for _, entry := range []string{
		"source: " + l.pick("qr", "wechat   # c", `"qr"`), "timeout:" + l.pick("", " # c", " 30s"),
		"status_paid:" + l.pick(" []", " [a, b] # c", "\n"+step+step+step+"- a # why\n"+step+step+step+"# then\n"+step+step+step+"- b # c", " [a, # why\n"+step+step+step+"# then\n"+step+step+step+"b] # c", "\n"+step+step+"- a"),
		"qr_content: " + l.pick("'{{.id}}'", "|\n"+step+step+step+"# {{.id}}", ">-\n"+step+step+step+"a\n"+step+step+step+"b", "\"a\n"+step+step+step+"b\""),
		"auth:" + l.pick("", " {}", " {region: us-east-1} # c", "\n"+step+step+"# in\n"+step+step+step+"scheme: Bearer\n\n"+step+step+step+"region: us-east-1"),
	} {
		if rapid.Bool().Draw(l.r, "has") {
			entries = append(entries, entry)
		}
	}
	text := step + name + ":" + l.pick("", " # "+name) + "\n"
	for _, entry := range rapid.Permutation(entries).Draw(l.r, "order") {
		text += step + step + entry + "\n" + l.gap(step+step)
	}
	return text
}

// flatten lists every value of a tree under its path.
func flatten(n *yaml.Node) []string {
	var list []string
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch {
		case n.Kind == yaml.MappingNode || null(n):
			list = append(list, path+" {}")
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(fmt.Sprintf("%s.%q", path, n.Content[i].Value), n.Content[i+1])
			}
		case n.Kind == yaml.SequenceNode:
			list = append(list, path+" []")
			for i, item := range n.Content {
				walk(fmt.Sprintf("%s.%d", path, i), item)
			}
		default:
			list = append(list, fmt.Sprintf("%s %s %q", path, n.ShortTag(), n.Value))
		}
	}
	walk("", n)
	return list
}

// holdsHash reports whether a # stands in a value.
func holdsHash(value *yaml.Node) bool {
	return strings.Contains(value.Value, "#") || slices.ContainsFunc(value.Content, holdsHash)
}

// count returns how often the last key of path stands in its mapping.
func count(d *document, path []string) (n int) {
	last := len(path) - 1
	if at := d.at(path[:last]); at != nil && at.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(at.Content); i += 2 {
			if k := at.Content[i]; k.Kind == yaml.ScalarNode && k.Value == path[last] {
				n++
			}
		}
	}
	return n
}
