package config

import (
	"errors"
	"path/filepath"
	"runtime"
)

// Dir returns the directory that holds config.yaml: VILLAPAY_CONFIG_DIR, else
// villapay in the user's config directory ($XDG_CONFIG_HOME or ~/.config,
// ~/Library/Application Support, %AppData%). It need not exist.
func Dir(getenv func(string) string) (string, error) {
	return directory(getenv, "VILLAPAY_CONFIG_DIR", userDir(runtime.GOOS, getenv, "AppData", "XDG_CONFIG_HOME", ".config"))
}

// StateDir returns the directory of the ledger, the tokens and the sandbox:
// VILLAPAY_STATE_DIR, else villapay in $XDG_STATE_HOME or ~/.local/state,
// ~/Library/Application Support, %LocalAppData%. It is absolute and need not
// exist.
func StateDir(getenv func(string) string) (string, error) {
	return directory(getenv, "VILLAPAY_STATE_DIR", userDir(runtime.GOOS, getenv, "LocalAppData", "XDG_STATE_HOME", ".local/state"))
}

// file returns the path of config.yaml.
func file(getenv func(string) string) (string, error) {
	dir, err := Dir(getenv)
	return filepath.Join(dir, "config.yaml"), err
}

func directory(getenv func(string) string, variable string, user func() (string, error)) (string, error) {
	dir := getenv(variable)
	if dir == "" {
		base, err := user()
		if err != nil {
			return "", &Error{Kind: KindConfig, Message: "find the user's directories: " + err.Error(), Hint: "set VILLAPAY_CONFIG_DIR and VILLAPAY_STATE_DIR, or HOME", Err: err}
		}
		dir = filepath.Join(base, "villapay")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", &Error{Kind: KindConfig, Message: variable + ": " + err.Error(), Hint: "write an absolute path", Err: err}
	}
	return absolute, nil
}

// userDir is os.UserConfigDir over getenv, for state directories too, of which
// the standard library knows nothing.
func userDir(goos string, getenv func(string) string, windows, xdg, unix string) func() (string, error) {
	return func() (string, error) {
		if goos == "windows" {
			if dir := getenv(windows); dir != "" {
				return dir, nil
			}
			return "", errors.New("%" + windows + "% is not set")
		}
		if dir := getenv(xdg); dir != "" && goos != "darwin" {
			if !filepath.IsAbs(dir) {
				return "", errors.New("$" + xdg + " is not an absolute path")
			}
			return dir, nil
		}
		home := getenv("HOME")
		switch {
		case home == "":
			return "", errors.New("$HOME is not set")
		case goos == "darwin":
			return filepath.Join(home, "Library", "Application Support"), nil
		}
		return filepath.Join(home, filepath.FromSlash(unix)), nil
	}
}
