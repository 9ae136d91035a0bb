package cmd

import (
	"testing"

	"github.com/villapay/villapay/internal/config"
)

// An environment that another process removes after it was added is shown as null.
func TestEnvRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	variables := map[string]string{"VILLAPAY_CONFIG_DIR": t.TempDir()}
	settings, err := config.Load(func(name string) (string, bool) { value, set := variables[name]; return value, set }, config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if got := namedEnv(settings, []string{"staging"}); got != nil {
		t.Errorf("namedEnv is %v, want nil", got)
	}
}
