package render

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"
)

func TestQRFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for what, text := range payloads() {
		for _, suffix := range []string{".png", ".SVG"} {
			t.Run(what+suffix, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(dir, what+suffix)
				if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
					t.Fatal(err)
				}
				code := Code{text, "Order reference"}
				if err := errors.Join(CheckQRFile(path), QRFile(path, code)); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				picture := svgModules
				if suffix == ".png" {
					picture = pngModules
				}
				if got := scan(t, picture(t, data), 4); got != text {
					t.Errorf("scans as %q", got)
				}
			})
		}
	}
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(dir, ".*"))
		if len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// pngModules reads a picture's modules from their centers; what lies below the
// square is the caption, which has to be there.
func pngModules(t *testing.T, data []byte) [][]bool {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	size := picture.Bounds().Dx()
	if !anyDark(picture, image.Rect(0, size, size, picture.Bounds().Dy())) {
		t.Error("no caption")
	}
	rows := make([][]bool, size/module)
	for y := range rows {
		for x := range size / module {
			rows[y] = append(rows[y], isDark(picture, x*module+module/2, y*module+module/2))
		}
	}
	return rows
}

func anyDark(picture image.Image, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if isDark(picture, x, y) {
				return true
			}
		}
	}
	return false
}

func isDark(picture image.Image, x, y int) bool {
	r, _, _, _ := picture.At(x, y).RGBA()
	return r < 0x8000
}

var (
	svgSize = regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`)
	svgRun  = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v8h-(\d+)z`)
	svgText = regexp.MustCompile(`<text [^>]*>([^<]*)</text>`)
)

func svgModules(t *testing.T, data []byte) [][]bool {
	t.Helper()
	number := func(text []byte) int {
		n, err := strconv.Atoi(string(text))
		if err != nil {
			t.Fatal(err)
		}
		return n / module
	}
	size := number(svgSize.FindSubmatch(data)[1])
	rows := make([][]bool, size)
	for y := range rows {
		rows[y] = make([]bool, size)
	}
	for _, run := range svgRun.FindAllSubmatch(data, -1) {
		x, y := number(run[1]), number(run[2])
		for i := range number(run[3]) {
			rows[y][x+i] = true
		}
	}
	var lines []string
	for _, line := range svgText.FindAllSubmatch(data, -1) {
		lines = append(lines, string(line[1]))
	}
	if got := strings.Join(lines, " "); got != "Order reference" {
		t.Errorf("caption %q", got)
	}
	return rows
}

func TestCaptionIsEscapedInSVG(t *testing.T) {
	t.Parallel()
	c, err := qr.Encode("x", qr.M)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(drawSVG(c, "a<b>&c")); !strings.Contains(got, "a&lt;b&gt;&amp;c") {
		t.Error(got)
	}
}

func TestCheckQRFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dir.png"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{
		"a.png": true, "a.PNG": true, "a.svg": true,
		"a.jpg": false, "a": false, "png": false, "dir.png": false, "nosuch/a.png": false,
	} {
		err := CheckQRFile(filepath.Join(dir, name))
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckQRFile("a.gif"); !errors.Is(err, ErrFileSuffix) {
		t.Error(err)
	}
	if err := QRFile(filepath.Join(dir, "a.gif"), Code{Text: "x"}); !errors.Is(err, ErrFileSuffix) {
		t.Error(err)
	}
	if err := CheckQRFile(filepath.Join(dir, "nosuch", "a.png")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestQRFileKeepsTheOldFileWhereItCannotReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "code.png")
	if err := os.Mkdir(path, 0o700); err != nil { // a rename over a directory fails
		t.Fatal(err)
	}
	if err := QRFile(path, Code{Text: "x"}); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
