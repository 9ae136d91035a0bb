package config

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/villapay/villapay/internal/atomicfile"
	"github.com/villapay/villapay/internal/secret"
)

// Use selects an environment in the file.
func Use(ctx context.Context, env LookupEnv, name string) error {
	return edit(ctx, env, func(_ *document, s settings) ([]change, error) {
		return []change{{[]string{"env"}, scalar("", name)}}, s.exists(name)
	})
}

// Add writes a new environment.
func Add(ctx context.Context, env LookupEnv, name, baseURL string, live bool) error {
	if _, err := checkName(name); err != nil {
		return usage("", "%s", err)
	}
	url, err := normalizeURL(baseURL)
	if err != nil {
		return usage("", "--base-url: %s", err)
	}
	value := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
		scalar("", "base_url"), scalar("", url), scalar("", "live"), scalar("!!bool", strconv.FormatBool(live)),
	}}
	return edit(ctx, env, func(_ *document, s settings) ([]change, error) {
		if s.exists(name) == nil {
			return nil, usage("change it with `villapay env set`", "there is an environment %q already", name)
		}
		return []change{{[]string{"envs", name}, value}}, nil
	})
}

// Remove removes an environment from the file. It rejects a built-in one, whose
// values [Unset] resets one by one, and the one that the file or VILLAPAY_ENV
// selects: the next payment would go elsewhere, unasked.
func Remove(ctx context.Context, env LookupEnv, name string) error {
	if builtIn(name) {
		return usage("reset one of its values with `villapay env unset KEY -e "+name+"`", "%s is built in and cannot be removed", name)
	}
	return edit(ctx, env, func(d *document, s settings) ([]change, error) {
		path := []string{"envs", name}
		if d.at(path) == nil {
			return nil, s.exists(name)
		}
		current, err := s.selected(env)
		if err == nil && current == name {
			err = usage("choose another one first: `villapay env use dev`", "%s is the selected environment", name)
		}
		return []change{{path: path}}, err
	})
}

// Set writes one value: of the environment name, "" for the selected one, or of
// the whole file for output and ledger (see [Keys]). A list's items are
// separated by commas. The value is checked first, and so is the file with it: a
// valid file stays valid, an invalid one is repaired edit by edit.
func Set(ctx context.Context, env LookupEnv, name, keyName, value string) error {
	return SetAll(ctx, env, name, [2]string{keyName, value})
}

// SetAll writes several keys and their values in one write, or none of them.
func SetAll(ctx context.Context, env LookupEnv, name string, pairs ...[2]string) error {
	var plans []func(settings) (change, error)
	for _, pair := range pairs {
		plan, err := planSet(env, name, pair[0], pair[1])
		if err != nil {
			return err
		}
		plans = append(plans, plan)
	}
	return edit(ctx, env, func(_ *document, s settings) (all []change, _ error) {
		for _, plan := range plans {
			c, err := plan(s)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, nil
	})
}

// Check returns a key's value in its one form, or why it is invalid.
func Check(keyName, value string) (string, error) {
	k, err := settable(keyName)
	if err != nil {
		return "", err
	}
	return k.check(value)
}

// planSet checks a value for a key. The plan makes the change to a file.
func planSet(env LookupEnv, name, keyName, value string) (func(settings) (change, error), error) {
	k, err := settable(keyName)
	if err != nil {
		return nil, err
	}
	normal, err := k.check(value)
	if err != nil {
		return nil, usage("", "%s", invalid(keyName, err))
	}
	if _, password := showLedger(value); keyName == "ledger" && password {
		return nil, usage("use the variable VILLAPAY_LEDGER, or put the password into ~/.pgpass", "set ledger: a password is never stored in this file")
	}
	if secret.RedactEvident(value) != value {
		return nil, usage("", "set %s: it looks like a secret, and secrets are never stored in this file", keyName)
	}
	return func(s settings) (change, error) {
		if _, ok := lookup(topKeys(), keyName); ok {
			return change{[]string{keyName}, k.node(normal)}, nil
		}
		name, err := s.editable(env, name)
		if err != nil {
			return change{}, err
		}
		url, _ := s.address(name)
		twin := s.liveEnv(url, name)
		below, _ := s.livePath(url, normal)
		switch why := fixed(name, keyName); {
		case why != "":
			err = usage("", "%s", why)
		case keyName == "live" && normal == "false" && twin != "":
			err = usage("give it another one first: villapay env set base_url URL -e "+name, "set live: %s stays live, because its base_url is the live one of %s", name, twin)
		case (keyName == "order_path" || keyName == "status_path") && below != "":
			err = usage("", "set %s: with the base_url of %s it leads below that of %s, which is live", keyName, name, below)
		}
		return change{envPath(name, keyName), k.node(normal)}, err
	}, nil
}

// Unset removes one value from the file, so that the built-in one holds again,
// or a key that does not belong there: one without a meaning, one in the wrong
// place. It reports whether there was anything to remove.
func Unset(ctx context.Context, env LookupEnv, name, keyName string) (removed bool, err error) {
	if keyName == "envs" {
		return false, usage("remove one with `villapay env remove NAME`", "envs cannot be unset: it holds every environment")
	}
	err = edit(ctx, env, func(d *document, s settings) ([]change, error) {
		current, err := s.selected(env)
		if name != "" {
			current, err = name, s.exists(name)
		}
		if err != nil {
			return nil, err
		}
		// Wrong places first, because they make the file invalid.
		top := []string{keyName}
		places := [][]string{top, {"envs", current, keyName}, envPath(current, keyName)}
		if _, ok := lookup(topKeys(), keyName); ok {
			slices.Reverse(places)
		}
		for _, path := range places {
			if d.at(path) != nil {
				removed = true
				return []change{{path: path}}, nil
			}
		}
		if keyName != "env" {
			_, err = settable(keyName)
		}
		return []change{{path: top}}, err
	})
	return removed && err == nil, err
}

func envPath(env, name string) []string {
	return append([]string{"envs", env}, strings.Split(name, ".")...)
}

// settable finds the key that Set may write.
func settable(name string) (key, error) {
	if k, ok := lookup(slices.Concat(topKeys(), envKeys()), name); ok && name != "env" {
		return k, nil
	}
	variable := secretVariable(name)
	switch {
	case name == "env":
		return key{}, usage("select an environment with `villapay env use NAME`", "env cannot be set with this command")
	case variable != "":
		return key{}, usage("use the variable "+variable, "%s: secrets are never stored in the config file", name)
	}
	return key{}, usage(suggestion(name, Keys(), "the keys are "), "unknown key %q", name)
}

func (s settings) exists(name string) error {
	if slices.Contains(s.names(), name) {
		return nil
	}
	return usage(suggestion(name, s.names(), "the environments are "), "there is no environment %q", name)
}

// editable returns the environment to edit: the one named, else the selected.
func (s settings) editable(env LookupEnv, name string) (string, error) {
	if name != "" {
		return name, s.exists(name)
	}
	name, err := s.selected(env)
	if err != nil {
		return "", err
	}
	if err := s.exists(name); err != nil {
		return "", &Error{Kind: KindConfig, Message: "the selected environment: " + err.Error(), Hint: "select one with `villapay env use NAME`", Err: err}
	}
	return name, nil
}

// selected is the environment that variable, file or default select, in a file
// that may be invalid elsewhere.
func (s settings) selected(env LookupEnv) (string, error) {
	const variable = "VILLAPAY_ENV"
	own := s.top["env"].text
	switch name := env.Get(variable); {
	case name != "":
		return name, nil
	case env.isEmpty(variable):
		return "", emptyVariable(KindConfig, variable)
	case own != "":
		return own, nil
	}
	return Dev, nil
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

// lockWait bounds how long an edit waits for another one, which takes a few
// milliseconds.
const lockWait = 10 * time.Second

// edit makes one change to the file under its lock.
func edit(ctx context.Context, env LookupEnv, plan func(*document, settings) ([]change, error)) error {
	path, err := file(env)
	if err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(ctx, path, lockWait)
	if ctx.Err() != nil {
		return fmt.Errorf("edit %s: %w", path, ctx.Err())
	}
	if err != nil {
		return notWritten(path, err)
	}
	defer unlock()
	before, err := read(path)
	if err != nil {
		return err
	}
	settings, invalid := before.settings()
	if settings.top == nil { // no key of it can be relied on
		return invalid
	}
	changes, err := plan(before, settings)
	if err != nil {
		return err
	}
	after := before
	for i := 0; i < len(changes) && err == nil; i++ {
		after, err = after.with(changes[i])
	}
	switch {
	case err != nil && invalid != nil:
		return invalid
	case err != nil || after.text == before.text:
		return err
	case invalid == nil:
		if _, err := after.settings(); err != nil {
			return &Error{Kind: KindUsage, Message: "this would make the file invalid: " + err.Message, Hint: err.Hint}
		}
	}
	target, err := filepath.EvalSymlinks(path) // a link stays one
	if err != nil {
		target = path // a new file
	}
	if err := atomicfile.Write(target, []byte(after.text), 0o600); err != nil {
		return notWritten(path, err)
	}
	return nil
}

func notWritten(path string, err error) *Error {
	return &Error{Kind: KindConfig, Message: fmt.Sprintf("write %s: %s", path, err), Hint: "check the directory's owner, mode and free space, or set VILLAPAY_CONFIG_DIR", Err: err}
}
