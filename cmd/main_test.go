package cmd

import (
	"runtime/debug"
	"testing"
)

// A program that `go install` built says the same version as one of a package.
func TestVersionOfGoInstall(t *testing.T) {
	t.Parallel()
	for module, want := range map[string]string{"v1.2.3": "1.2.3", "v1.2.3-rc.1": "1.2.3-rc.1", "(devel)": "dev", "": "dev"} {
		if got := buildOf(&debug.BuildInfo{Main: debug.Module{Version: module}}).Version; got != want {
			t.Errorf("%q: version %q, want %q", module, got, want)
		}
	}
}
