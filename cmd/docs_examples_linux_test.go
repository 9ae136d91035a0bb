package cmd

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// job is what a CI service would run, as one shell script.
type job struct {
	env     map[string]string
	scripts []string
}

// githubJob reads the one job of a workflow. Its expressions are what secrets
// and inputs would be.
func githubJob(t *testing.T, text string) job {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Env   map[string]string
			Steps []struct {
				Run string
				Env map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &workflow); err != nil {
		t.Fatal(err)
	}
	whole := job{env: map[string]string{}}
	for _, j := range workflow.Jobs {
		maps.Copy(whole.env, j.Env)
		for _, step := range j.Steps {
			maps.Copy(whole.env, step.Env)
			whole.scripts = append(whole.scripts, step.Run)
		}
	}
	return whole
}

func gitlabJob(t *testing.T, text string) job {
	t.Helper()
	var file map[string]struct {
		Variables map[string]string
		Before    []string `yaml:"before_script"`
		Script    []string
		After     []string `yaml:"after_script"`
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	j := file["payments"]
	return job{j.Variables, append(append(j.Before, j.Script...), j.After...)}
}

// TestDocJobsRun runs the examples for CI services, all but how they install
// villapay.
func TestDocJobsRun(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*testing.T, string) job{"github-actions.yml": githubJob, "gitlab-ci.yml": gitlabJob} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			j := read(t, readDoc(t, filepath.Join("../docs/examples", name)))
			if err := os.WriteFile(filepath.Join(r.dir, "orders.csv"), []byte("492500004670\n492500004671\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, script := range j.scripts {
				if strings.Contains(script, "sha256sum --check") {
					continue // it installs a release
				}
				r.follow(t, docStep{run: exports(j.env) + "(set -e\n" + script + "\n)", want: []string{"…"}})
			}
			for _, left := range []string{"order.json", "payments.ndjson"} {
				if data, err := os.ReadFile(filepath.Join(r.dir, left)); err == nil && strings.Contains(string(data), `"state":"awaiting"`) {
					return
				}
			}
			t.Error("no payment order was made")
		})
	}
}

// A job whose secret is missing fails before it makes anything: without its ledger,
// each run would make orders of its own.
func TestDocJobsNeedTheirSecrets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		read    func(*testing.T, string) job
		missing string // what stands in a missing secret's place
	}{
		"github-actions.yml": {githubJob, "export %s=\n"}, "gitlab-ci.yml": {gitlabJob, "unset %s\n"},
	} {
		for _, secret := range []string{"VILLAPAY_LEDGER", "VILLAPAY_USERNAME", "VILLAPAY_PASSWORD"} {
			t.Run(name+" "+secret, func(t *testing.T) {
				t.Parallel()
				r := newReader(t)
				j := test.read(t, readDoc(t, filepath.Join("../docs/examples", name)))
				if err := os.WriteFile(filepath.Join(r.dir, "orders.csv"), []byte("492500004670\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				script := exports(j.env) + fmt.Sprintf(test.missing, secret) + "set -e\n"
				for _, step := range j.scripts {
					if !strings.Contains(step, "sha256sum --check") {
						script += "(\nset -e\n" + step + "\n)\n"
					}
				}
				c := exec.CommandContext(t.Context(), "sh", "-c", r.mended.Replace(script))
				c.Dir, c.Env = r.dir, docEnv(t, r.dir)
				out, err := c.CombinedOutput()
				if err == nil || !strings.Contains(string(out), secret) {
					t.Errorf("%v, and it says:\n%s", err, out)
				}
				if _, err := os.Stat(filepath.Join(r.dir, ".local/state/villapay/ledger.db")); err == nil || strings.Contains(string(out), "signed in") {
					t.Errorf("it went on without %s:\n%s", secret, out)
				}
			})
		}
	}
}

// exports sets a job's variables and what its service sets by itself.
func exports(env map[string]string) string {
	const ledger = "postgres://villapay@db.example.com/villapay?sslmode=verify-full"
	values := strings.NewReplacer(
		"${{ secrets.VILLAPAY_LEDGER }}", ledger, "${{ secrets.VILLAPAY_USERNAME }}", "ann", "${{ secrets.VILLAPAY_PASSWORD }}", password,
		"${{ inputs.order }}", "492500004632", "${{ github.token }}", "",
	)
	text := "export CI=true VILLAPAY_LEDGER='" + ledger + "' VILLAPAY_USERNAME=ann VILLAPAY_PASSWORD='" + password + "' GITHUB_STEP_SUMMARY=summary.md\n"
	for name, value := range env {
		text += "export " + name + "='" + values.Replace(value) + "'\n"
	}
	return text
}

// TestDocUnits starts what the systemd units start, and lets systemd read them
// where it is installed.
func TestDocUnits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"villapay-webhook.service", "villapay-webhook-user.service"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unit := readDoc(t, filepath.Join("../docs/examples", name))
			_, start, _ := strings.Cut(unit, "\nExecStart=/usr/bin/")
			start, _, _ = strings.Cut(start, "\n")
			r := newReader(t)
			if err := os.WriteFile(filepath.Join(r.dir, ".config/villapay/webhook.key"), []byte("skey_test_1"), 0o600); err != nil {
				t.Fatal(err)
			}
			r.follow(t, docStep{
				run:  "export CREDENTIALS_DIRECTORY=" + r.dir + "/.config/villapay; " + strings.ReplaceAll(start, "%h", r.dir) + " &",
				want: []string{"villapay: listening for notifications of prod on http://127.0.0.1:8975/kbank; Ctrl-C ends it"},
			})
			verifyUnit(t, filepath.Join(r.dir, name), strings.ReplaceAll(unit, "/usr/bin/villapay", "/bin/true"))
		})
	}
}

func verifyUnit(t *testing.T, file, unit string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v %s", err, out)
	}
}
