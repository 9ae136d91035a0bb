package config

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Use selects an environment in the file.
func Use(ctx context.Context, getenv func(string) string, name string) error {
	return edit(ctx, getenv, func(d *document, s settings) (*document, error) {
		if err := exists(s, name); err != nil {
			return nil, err
		}
		return d.with(change{[]string{"env"}, scalar("", name)})
	})
}

// Add writes a new environment.
func Add(ctx context.Context, getenv func(string) string, name, baseURL string, live bool) error {
	if _, err := checkName(name); err != nil {
		return usage("", "%s", err)
	}
	url, err := normaliseURL(baseURL)
	if err != nil {
		return usage("", "--base-url: %s", err)
	}
	value := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
		scalar("", "base_url"), scalar("", url), scalar("", "live"), scalar("!!bool", strconv.FormatBool(live)),
	}}
	return edit(ctx, getenv, func(d *document, s settings) (*document, error) {
		if slices.Contains(s.names(), name) {
			return nil, usage("change it with `villapay env set`", "there is an environment %q already", name)
		}
		return d.with(change{[]string{"envs", name}, value})
	})
}

// Remove takes an environment out of the file. It refuses a built-in one, whose
// values [Unset] puts back one by one, and the one that the file or VILLAPAY_ENV
// selects: the next payment would go elsewhere, unasked.
func Remove(ctx context.Context, getenv func(string) string, name string) error {
	if builtIn(name) {
		return usage("`villapay env unset KEY` puts one of its values back", "%s is built in and cannot be removed", name)
	}
	return edit(ctx, getenv, func(d *document, s settings) (*document, error) {
		path := []string{"envs", name}
		if d.count(path) == 0 {
			return nil, usage(meant(name, s.names(), "the environments are "), "there is no environment %q", name)
		}
		if selected(getenv, s) == name {
			return nil, usage("choose another one first: `villapay env use dev`", "%s is the selected environment", name)
		}
		return d.without(path)
	})
}

// Set writes one value: of the environment env, "" for the selected one, or of
// the whole file for output and ledger (see [Keys]). A list's items are
// separated by commas. The value is checked first, and so is the file with it:
// an edit that makes anything in it wrong is refused, what was wrong before
// stays to be repaired.
func Set(ctx context.Context, getenv func(string) string, env, name, value string) error {
	k, err := settable(name)
	if err != nil {
		return err
	}
	normal, err := k.check(value)
	if err != nil {
		return usage("", "set %s: %s", name, err)
	}
	if name == "ledger" && hideLedger(value) != value {
		return usage("use the variable VILLAPAY_LEDGER, or leave the password to ~/.pgpass", "set ledger: a password never stands in this file")
	}
	return edit(ctx, getenv, func(d *document, s settings) (*document, error) {
		if _, ok := lookup(topKeys(), name); ok {
			return d.with(change{[]string{name}, k.node(normal)})
		}
		env, err := editable(getenv, s, env)
		if err != nil {
			return nil, err
		}
		if why := fixed(env, name); why != "" {
			return nil, usage("", "%s", why)
		}
		after, err := d.with(change{envPath(env, name), k.node(normal)})
		if err == nil && name == "live" {
			err = staysLive(after, env)
		}
		return after, err
	})
}

// staysLive refuses a file in which an environment says in vain that it is not
// live: its base URL decides.
func staysLive(d *document, env string) error {
	s, _ := d.settings()
	url, declared := s.address(env)
	twin := s.liveEnv(url)
	if declared || twin == "" || url == "" {
		return nil
	}
	return usage("give it another one first: villapay env set base_url URL -e "+env, "set live: %s stays live, because its base_url is the live one of %s", env, twin)
}

// Unset takes one value out of the file, so that the built-in one holds again,
// or a key that does not belong there: one without a meaning, one in the wrong
// place. It says whether there was anything to take out.
func Unset(ctx context.Context, getenv func(string) string, env, name string) (removed bool, err error) {
	if name == "envs" {
		return false, usage("`villapay env remove NAME` removes one", "envs holds every environment")
	}
	err = edit(ctx, getenv, func(d *document, s settings) (*document, error) {
		selected := selected(getenv, s)
		if env != "" {
			if selected, err = editable(getenv, s, env); err != nil {
				return nil, err
			}
		}
		for _, path := range places(selected, name) {
			if d.count(path) > 0 {
				removed = true
				return d.without(path)
			}
		}
		if _, err := settable(name); err != nil && name != "env" {
			return nil, err
		}
		return d, nil
	})
	return removed && err == nil, err
}

// places lists where a key to remove may stand: wrong places first, because a
// file that cannot be read is the more urgent one.
func places(env, name string) [][]string {
	below := [][]string{{"envs", env, name}, envPath(env, name)}
	if _, ok := lookup(topKeys(), name); ok {
		return append(below, []string{name})
	}
	return append([][]string{{name}}, below...)
}

func envPath(env, name string) []string {
	return append([]string{"envs", env}, strings.Split(name, ".")...)
}

// settable finds the key that Set may write.
func settable(name string) (key, error) {
	if name == "env" {
		return key{}, usage("`villapay env use NAME` selects an environment", "env is not set like a value")
	}
	if !slices.Contains(Keys(), name) {
		if variable := secretVariable(name); variable != "" {
			return key{}, usage("use the variable "+variable, "%s: secrets never stand in the configuration file", name)
		}
		return key{}, usage(meant(name, Keys(), "the keys are "), "unknown key %q", name)
	}
	if k, ok := lookup(topKeys(), name); ok {
		return k, nil
	}
	k, _ := lookup(envKeys(), name)
	return k, nil
}

func exists(s settings, name string) error {
	if slices.Contains(s.names(), name) {
		return nil
	}
	return usage(meant(name, s.names(), "the environments are "), "there is no environment %q", name)
}

// editable returns the environment to edit: the one named, else the selected.
func editable(getenv func(string) string, s settings, env string) (string, error) {
	if env != "" {
		return env, exists(s, env)
	}
	env = selected(getenv, s)
	err := exists(s, env)
	if err != nil {
		return "", &Error{Kind: KindConfig, Message: "the selected environment: " + err.Error(), Hint: "select one with `villapay env use NAME`", Err: err}
	}
	return env, nil
}

// selected is the environment that variable, file or default select, in a file
// that may be wrong elsewhere.
func selected(getenv func(string) string, s settings) string {
	if name := getenv("VILLAPAY_ENV"); name != "" {
		return name
	}
	if own, ok := s.top["env"]; ok && own.text != "" {
		return own.text
	}
	return Dev
}

// node is a value as it is written to the file.
func (k key) node(text string) *yaml.Node {
	if !k.list {
		return scalar(k.tag, text)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, item := range split(text) {
		list.Content = append(list.Content, scalar(k.tag, item))
	}
	return list
}

// scalar makes a node of the tag, !!str if it is "". Texts of several lines are
// quoted, so that a value is always one line.
func scalar(tag, text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
	if tag == "" {
		n.Tag = "!!str"
	}
	if strings.ContainsAny(text, "\r\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// edit makes one change to the file under its lock. change returns the document
// it was given where there is nothing to write.
func edit(ctx context.Context, getenv func(string) string, change func(*document, settings) (*document, error)) error {
	path, err := file(getenv)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := read(path)
	if err != nil {
		return err
	}
	settings, old := before.settings()
	if settings.top == nil { // not one key of it can be relied on
		_, err := before.valid()
		return err
	}
	after, err := change(before, settings)
	if err != nil || after == before {
		return err
	}
	_, problems := after.settings()
	for _, p := range problems {
		if !slices.ContainsFunc(old, func(o problem) bool { return o.message == p.message }) {
			return usage(p.hint, "%s", p.message)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("edit %s: %w", path, err)
	}
	return write(path, after.text)
}
