package config

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// errNoHome is behind the error of a directory that nothing names.
var errNoHome = errors.New("no variable names the user's directories")

// StateDir returns the directory of the ledger, the tokens and the sandbox:
// VILLAPAY_STATE_DIR, else villapay in $XDG_STATE_HOME or ~/.local/state,
// ~/Library/Application Support, %LocalAppData%. It is absolute and need not
// exist.
func StateDir(env LookupEnv) (string, error) {
	return directory(env, runtime.GOOS, "VILLAPAY_STATE_DIR", "LocalAppData", "XDG_STATE_HOME", ".local/state")
}

// directory is os.UserConfigDir for state directories too, which the standard
// library does not know.
func directory(env LookupEnv, goos, variable, windows, xdg, unix string) (string, error) {
	if dir := env.Get(variable); dir != "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return "", &Error{Kind: KindConfig, Message: variable + ": " + err.Error(), Hint: "write an absolute path", Err: err}
		}
		return absolute, nil
	}
	base, missing := "", "HOME"
	switch home := env.Get("HOME"); {
	case goos == "windows":
		base, missing = env.Get(windows), windows
	case goos == "darwin" && home != "":
		base = filepath.Join(home, "Library", "Application Support")
	case goos != "darwin" && env.Get(xdg) != "":
		base = env.Get(xdg)
	case home != "":
		base = filepath.Join(home, filepath.FromSlash(unix))
	}
	switch {
	case base == "":
		return "", &Error{Kind: KindConfig, Message: "find the user's directories: " + missing + " is not set", Hint: "set VILLAPAY_CONFIG_DIR and VILLAPAY_STATE_DIR, or " + missing, Err: errNoHome}
	case !filepath.IsAbs(base):
		return "", &Error{Kind: KindConfig, Message: base + " is not an absolute path", Hint: "check " + xdg + " and HOME"}
	}
	return filepath.Join(base, "villapay"), nil
}

// file returns the path of config.yaml: in VILLAPAY_CONFIG_DIR, else in villapay in
// the user's config directory ($XDG_CONFIG_HOME or ~/.config, ~/Library/Application
// Support, %AppData%).
func file(env LookupEnv) (string, error) {
	dir, err := directory(env, runtime.GOOS, "VILLAPAY_CONFIG_DIR", "AppData", "XDG_CONFIG_HOME", ".config")
	return filepath.Join(dir, "config.yaml"), err
}

// UnreadFiles returns files beside config.yaml that somebody may take for it.
func (c *Config) UnreadFiles() []string {
	var unread []string
	for _, name := range []string{"config.yml", "config.json"} {
		path := filepath.Join(filepath.Dir(c.File), name)
		if _, err := os.Lstat(path); c.File != "" && err == nil {
			unread = append(unread, path)
		}
	}
	return unread
}
