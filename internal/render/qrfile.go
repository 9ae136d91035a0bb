package render

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io/fs"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
	"rsc.io/qr"

	"github.com/villapay/villapay/internal/atomicfile"
)

// ErrFileSuffix says that a code's file has a name which is neither .png nor
// .svg.
var ErrFileSuffix = errors.New("a code's file must end in .png or .svg")

// pictureMode is the mode of a code's file, less the umask: it is made to be
// shown.
const pictureMode = 0o666

// CheckQRFile reports before anything is sent whether [QRFile] can write there: it
// knows the suffix (else [ErrFileSuffix]), the path is no directory or device,
// and its directory takes a new file (tried, and removed again).
func CheckQRFile(path string) error {
	if _, err := fileSuffix(path); err != nil {
		return err
	}
	probe, err := atomicfile.Create(path, pictureMode)
	if err != nil {
		if cause, ok := errors.AsType[*fs.PathError](err); ok { // its path may be the probe's
			err = cause.Err
		}
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return probe.Close()
}

func fileSuffix(path string) (string, error) {
	suffix := strings.ToLower(filepath.Ext(path))
	if suffix != ".png" && suffix != ".svg" {
		return "", fmt.Errorf("%q: %w", path, ErrFileSuffix)
	}
	return suffix, nil
}

// QRFile writes a code as a picture with its caption under it, PNG or SVG by the
// path's suffix. The file is there whole or not at all; an older one is
// replaced. A text that no code holds is a [*TooLong].
func QRFile(path string, code Code) error {
	suffix, err := fileSuffix(path)
	if err != nil {
		return err
	}
	c, err := encodePicture(code.Text)
	if err != nil {
		return err
	}
	picture := drawSVG(c, code.Caption)
	if suffix == ".png" {
		if picture, err = drawPNG(c, code.Caption); err != nil {
			return fmt.Errorf("draw the code's picture: %w", err)
		}
	}
	if err := atomicfile.Write(path, picture, pictureMode); err != nil {
		return fmt.Errorf("write the code's file: %w", err)
	}
	return nil
}

// SVG draws a text's code, without a caption. A text that no code holds is a
// [*TooLong].
func SVG(text string) ([]byte, error) {
	c, err := encodePicture(text)
	if err != nil {
		return nil, err
	}
	return drawSVG(c, ""), nil
}

func encodePicture(text string) (*qr.Code, error) {
	c, err := encode(text, qr.M)
	if err != nil {
		c, err = encode(text, qr.L)
	}
	return c, err
}

// Sizes of a picture, in pixels (PNG) or units (SVG).
const (
	module = 8  // side of one square of the code
	quiet  = 4  // white around the code, in modules
	letter = 7  // a letter of the caption, with the blank beside it
	lead   = 18 // from one line of the caption to the next
	ascent = 13 // of a letter, above its base line
)

// layout wraps a caption to a code's width and returns the picture's size: the
// code with its white around it, and the caption below that.
func layout(c *qr.Code, caption string) (lines []string, w, h int) {
	w = (c.Size + 2*quiet) * module
	lines = wrap(caption, (w-2*module)/letter)
	return lines, w, w + len(lines)*lead
}

func drawPNG(c *qr.Code, caption string) ([]byte, error) {
	lines, w, h := layout(c, caption)
	picture := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.White, color.Black})
	for y := range c.Size {
		for x := range c.Size {
			if c.Black(x, y) {
				at := image.Pt(x+quiet, y+quiet).Mul(module)
				draw.Draw(picture, image.Rectangle{at, at.Add(image.Pt(module, module))}, image.Black, image.Point{}, draw.Src)
			}
		}
	}
	for i, line := range lines {
		d := font.Drawer{Dst: picture, Src: image.Black, Face: basicfont.Face7x13}
		d.Dot = fixed.P((w-len(line)*letter)/2, w+i*lead+ascent)
		d.DrawString(line)
	}
	var out bytes.Buffer
	err := png.Encode(&out, picture)
	return out.Bytes(), err
}

func drawSVG(c *qr.Code, caption string) []byte {
	lines, w, h := layout(c, caption)
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", w, h, w, h)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n"+`<path fill="#000" d="`, w, h)
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			run := 0
			for c.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&out, "M%d %dh%dv%dh-%dz", (x+quiet)*module, (y+quiet)*module, run*module, module, run*module)
				x += run
			}
		}
	}
	out.WriteString(`"/>` + "\n")
	for i, line := range lines {
		fmt.Fprintf(&out, `<text x="%d" y="%d" font-family="sans-serif" font-size="%d" text-anchor="middle">%s</text>`+"\n",
			w/2, w+i*lead+ascent, ascent, template.HTMLEscapeString(line))
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}
