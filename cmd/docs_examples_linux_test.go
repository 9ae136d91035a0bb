package cmd

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
				c := exec.CommandContext(t.Context(), "sh", "-c", r.replaced.Replace(script))
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

// TestDocHandler crashes the handler of the guide, and its listener: each change
// reaches it all the same.
func TestDocHandler(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	env := append(docEnv(t, r.dir), "VILLAPAY_ENV=sandbox", "VILLAPAY_WEBHOOK_SECRET=skey_test_1")
	m := &machine{dir: r.dir, env: env}
	for name, text := range map[string]string{
		"handle-changes.sh": r.replaced.Replace(readDoc(t, "../docs/examples/handle-changes.sh")),
		"on-change":         "#!/bin/sh\necho \"$@\" >> changes\n[ ! -e crash ]\n",
		"crash":             "",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"1", "2", "3"} {
		if paid := m.run(t, "pay", "qr", id); paid.code != 0 {
			t.Fatal(paid.stderr)
		}
	}
	send := func(args ...string) result {
		return m.run(t, append([]string{"webhook", "send", "--to", r.replaced.Replace("http://127.0.0.1:8975/")}, args...)...)
	}
	changes := func() string {
		text, _ := os.ReadFile(filepath.Join(r.dir, "changes"))
		return string(text)
	}

	first := startHandler(t, m)
	send("1")
	first.ends(t) // its handler has crashed
	if got := changes(); got != "1 paid\n" {
		t.Errorf("the handler that crashed: %q", got)
	}
	if down := send("2"); down.code == 0 {
		t.Error("a notification is answered while nobody listens")
	}
	if err := os.Remove(filepath.Join(r.dir, "crash")); err != nil {
		t.Fatal(err)
	}

	second := startHandler(t, m)
	for _, args := range [][]string{{"2"}, {"2"}, {"2", "--state", "Voided"}} {
		if sent := send(args...); sent.code != 0 {
			t.Errorf("send %v: %s", args, sent.stderr)
		}
	}
	second.handles(t, "2 cancelled")
	_ = syscall.Kill(-second.Process.Pid, syscall.SIGKILL)
	_ = second.Wait()

	third := startHandler(t, m)
	if sent := send("3"); sent.code != 0 {
		t.Error(sent.stderr)
	}
	third.handles(t, "3 paid")
	if got, want := changes(), "1 paid\n1 paid\n2 paid\n2 cancelled\n3 paid\n"; got != want {
		t.Errorf("the handler got %q, want %q", got, want)
	}
}

// handler is the guide's script, in a process group of its own.
type handler struct {
	*exec.Cmd
	said *bufio.Reader
}

// startHandler starts the script and waits until it takes notifications.
func startHandler(t *testing.T, m *machine) *handler {
	t.Helper()
	h := &handler{Cmd: exec.CommandContext(t.Context(), "./handle-changes.sh")}
	h.Dir, h.Env, h.SysProcAttr = m.dir, m.env, &syscall.SysProcAttr{Setpgid: true}
	stderr, err := h.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-h.Process.Pid, syscall.SIGKILL) })
	h.said = bufio.NewReader(stderr)
	if line, err := h.said.ReadString('\n'); !strings.Contains(line, "listening") {
		t.Fatalf("the listener says %q, %v", line, err)
	}
	return h
}

// ends waits until the script and its listener have ended.
func (h *handler) ends(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(h.said); err != nil || len(rest) > 0 {
		t.Errorf("the listener says %q, %v", rest, err)
	}
	if err := h.Wait(); err == nil {
		t.Error("the script ends well though its handler crashed")
	}
}

// handles waits until a change is done.
func (h *handler) handles(t *testing.T, change string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", `until grep -qxF "$0" handled; do sleep 0.05; done`, change)
	c.Dir = h.Dir
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
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
