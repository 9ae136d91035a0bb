package pgurl

import (
	"strings"
	"testing"
)

func TestShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		shown    string
		password bool
	}{
		"postgres:///pay":                         {"postgres:///pay", false},
		"postgresql://ann@h:5432/d":               {"postgres://ann@h:5432/d", false},
		"postgres://ann:@h/d":                     {"postgres://ann@h/d", false},
		"postgres://ann:p%40w@h/d":                {"postgres://ann@h/d", true},
		"postgres://ann:p:w#x!@h":                 {"postgres://ann@h/", true},
		"postgres://a%40b:p@h:1,[::1]:2,[::2]/d":  {"postgres://a%40b@h:1,[::1]:2,[::2]/d", true},
		"postgres://h1:5432,h2/d":                 {"postgres://h1:5432,h2/d", false},
		"postgres://%2Frun%2Fpostgresql/d":        {"postgres://%2Frun%2Fpostgresql/d", false},
		"postgres:///d?host=/run/pg&port=5433":    {"postgres://%2Frun%2Fpg/d", false},
		"postgres://?host=h1,h2&port=1":           {"postgres://h1:1,h2:1/", false},
		"postgres://h/d?user=bob%40x&database=e":  {"postgres://bob%40x@h/e", false},
		"postgres://h/d?user=a&password=x":        {"postgres://a@h/d", true},
		"postgres://h/d?password=":                {"postgres://h/d", false},
		"postgres://h/d?sslpassword=x":            {"postgres://h/d", true},
		"postgres://h/d?pwd=x":                    {"postgres://h/d", true},
		"postgres://h/d?passfile=/etc/x":          {"postgres://h/d", false},
		"postgres://h/d?sslmode=verify-full":      {"postgres://h/d", false},
		"postgres://u:secret@h/d?options=-cx%3Dy": {"postgres://u@h/d", true},
	} {
		got, err := Parse(text)
		if err != nil || got.String() != want.shown || got.Password != want.password {
			t.Errorf("%s is shown as %s, %v, password %t", text, got, err, got.Password)
		}
	}
}

// Each fault is named as itself, and nothing of the URL is repeated.
func TestFaults(t *testing.T) {
	t.Parallel()
	const escape = "percent-encoded: %40"
	for text, want := range map[string]string{
		"":                                  "postgres:// URL",
		"postgres://":                       "postgres:// URL",
		"mysql://u:hunter2@h/d":             "postgres:// URL",
		"host=h password=hunter2":           "postgres:// URL",
		"postgres://h/hunter2 b":            "blanks",
		"postgres://h/hunter2\n":            "blanks",
		"postgres://h/hunter2\xff":          "blanks",
		"postgres://u:hunter2@x@h/d":        escape,
		"postgres://u:a/hunter2@h/d":        escape,
		"postgres://u:1/hunter2@h/d":        escape,
		"postgres://u:1?hunter2@h/d":        escape,
		"postgres://u:1?hunter2=@h/d":       escape,
		"postgres://u:1?password=2@h/d":     escape,
		"postgres://u@h/d?password=a@b":     escape,
		"postgres://h/d?user=ann@hunter2":   escape,
		"postgres://u:hunter2%zz@h/d":       escape,
		"postgres://u@h/d?password=%4":      escape,
		"postgres://u@h%zz/d":               escape,
		"postgres://u@h/hunter2%":           escape,
		"postgres://u:hunter2":              "port",
		"postgres://u:hunter2/d":            "port",
		"postgres://h:0/d":                  "port",
		"postgres://h:65536/d":              "port",
		"postgres://h:1:2/d":                "port",
		"postgres://h/d?port=hunter2":       "port",
		"postgres://h1:1,h2:2,h3/?port=1,2": "port",
		"postgres://[::1/d":                 "IPv6",
		"postgres://[::1]5/d":               "IPv6",
		"postgres://h/d?sslmode=hunter2":    "sslmode is not one of disable, allow",
		"postgres://h/d?hunter2":            "name=value",
		"postgres://h/d?a=hunter2=b":        "name=value",
	} {
		got, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %s, %v, want an error about %s", text, got, err, want)
		}
	}
}

// Where pgx would look for a host is what is shown, and the password is not.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"postgres://u:p@h1:1,[::1]:2/d?sslmode=require", "postgres://u:p/q@h", "postgres://%2Fa?host=/b&pwd=c"} {
		f.Add(seed, "hunter2")
	}
	f.Fuzz(func(t *testing.T, text, password string) {
		if len(password) < 6 || strings.Contains(text, password) {
			return
		}
		if u, err := Parse(strings.Replace(text, ":p@", ":"+password+"@", 1)); err == nil {
			if again, err := Parse(u.String()); err != nil || again.String() != u.String() || again.Password {
				t.Fatalf("%s, then %s, %v", u, again, err)
			}
			if strings.Contains(text, ":p@") && strings.Contains(u.String(), password) {
				t.Fatalf("%q is shown as %s", text, u)
			}
		}
	})
}
