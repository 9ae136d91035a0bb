package payment

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/villapay/villapay/internal/order"
	"github.com/villapay/villapay/internal/table"
)

// read collects what an input holds, as "line orderid source", and what it
// refused.
func read(t *testing.T, r io.Reader) (lines, bad []string, err error) {
	t.Helper()
	in, err := ReadInput(r, order.QR, t.TempDir(), func(b *table.Error) { bad = append(bad, b.Error()) })
	if err != nil {
		return nil, bad, err
	}
	defer in.Close()
	err = in.each(func(l Line) bool {
		lines = append(lines, fmt.Sprint(l.Number, " ", l.OrderID, " ", l.Source))
		return true
	})
	if len(lines) != in.Lines {
		t.Errorf("it says it has %d lines and gives %d", in.Lines, len(lines))
	}
	return lines, bad, err
}

func TestInputForms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		lines, bad []string
	}{
		{"ids", "1\n2\n", []string{"1 1 qr", "2 2 qr"}, nil},
		{"ids, CRLF, blank lines, no last break", "1\r\n\r\n  2  \n\n3", []string{"1 1 qr", "3 2 qr", "5 3 qr"}, nil},
		{"ids with a mark", "\xef\xbb\xbf1\n", []string{"1 1 qr"}, nil},
		{"one column", "orderid\n1\n", []string{"2 1 qr"}, nil},
		{"csv", "orderid,source\n1,wechat\n2,\n", []string{"2 1 wechat", "3 2 qr"}, nil},
		{"csv, other columns and order", "note,Source,OrderID\r\n\"a, \"\"b\"\"\nc\",qr,1\r\n\r\nx,wechat,2\r\n", []string{"2 1 qr", "5 2 wechat"}, nil},
		{"csv with a mark", "\xef\xbb\xbforderid,source\n1,qr\n", []string{"2 1 qr"}, nil},
		{"csv, short rows", "orderid,source\n1\n", []string{"2 1 qr"}, nil},
		{"ndjson", "{\"orderid\":\"1\"}\n\n{\"source\":\"wechat\",\"orderid\":\"2\",\"x\":1}\n{\"orderid\":492500004632}", []string{"1 1 qr", "3 2 wechat", "4 492500004632 qr"}, nil},
		{"empty", "", nil, nil},
		{"bad ids", "1\na b\n-x\n2", []string{"1 1 qr", "4 2 qr"}, []string{
			`line 2: "a b" is not an order ID: letters, digits and . _ : - are allowed, starting with a letter or digit`,
			`line 3: "-x" is not an order ID: letters, digits and . _ : - are allowed, starting with a letter or digit`,
		}},
		{"bad csv", "orderid,source\n,qr\n1,paypal\n2,qr\n", []string{"4 2 qr"}, []string{"line 2: the order ID is empty", `line 3: "paypal" is not a source: qr or wechat`}},
		{"no header", "order-1\nid7\n", []string{"1 order-1 qr", "2 id7 qr"}, nil},
		{"numbers that are no IDs", "{\"orderid\":4925.0}\n{\"orderid\":4.925e3}\n{\"orderid\":-1}\n", nil, []string{
			"line 1: its orderid 4925.0 is not a whole number; write the order ID as text",
			"line 2: its orderid 4.925e3 is not a whole number; write the order ID as text",
			"line 3: its orderid -1 is not a whole number; write the order ID as text",
		}},
		{"bad ndjson", "{\"orderid\":\"1\"}\nnope\n{}\n{\"orderid\":[1]}\n", []string{"1 1 qr"}, []string{
			"line 2: not a JSON object with orderid and source: invalid character 'o' in literal null (expecting 'u')",
			"line 3: it has no orderid", "line 4: its orderid is not text",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for name, r := range map[string]io.Reader{"whole": strings.NewReader(test.text), "byte by byte": iotest.OneByteReader(strings.NewReader(test.text))} {
				lines, bad, err := read(t, r)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.lines, lines); diff != "" {
					t.Error(name, diff)
				}
				if diff := cmp.Diff(test.bad, bad); diff != "" {
					t.Error(name, diff)
				}
			}
		})
	}
}

func TestInputThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		r    io.Reader
		want string
	}{
		"another header":    {strings.NewReader("Order_ID\n1\n"), `line 1: "Order_ID" looks like a header; the column has to be named orderid`},
		"no orderid column": {strings.NewReader("a,b\n1,2\n"), "line 1: the header has no column orderid"},
		"endless line":      {io.LimitReader(endless('1'), 1<<30), "longer than 65536 bytes"},
		"endless quote":     {io.MultiReader(strings.NewReader("orderid,x\n1,\""), io.LimitReader(endless('a'), 1<<30)), "is a quote left open?"},
		"a failing reader":  {io.MultiReader(strings.NewReader("1\n2\n"), iotest.ErrReader(broken)), "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := read(t, test.r); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func FuzzInput(f *testing.F) {
	for _, seed := range []string{"1\n2\n", "orderid,source\n1,qr\n", "{\"orderid\":\"1\"}\n", "orderid,\"\n", "\xef\xbb\xbf{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, _, err := read(t, strings.NewReader(text))
		if err != nil {
			return
		}
		for _, line := range lines {
			fields := strings.Fields(line)
			if len(fields) != 3 || order.CheckID(fields[1]) != nil || fields[2] != "qr" && fields[2] != "wechat" {
				t.Errorf("it gives %q", line)
			}
		}
	})
}
