package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// orders is what a batch reads: headless tables too.
func orders() Spec {
	return Spec{Columns: []string{"orderid", "source"}, Needed: 1, Headless: true, Check: func(values []string) error {
		switch {
		case values[0] == "" || strings.ContainsAny(values[0], " \"'"):
			return fmt.Errorf("%q is no ID", values[0])
		case values[1] != "" && values[1] != "qr" && values[1] != "wechat":
			return fmt.Errorf("%q is no source", values[1])
		}
		return nil
	}}
}

// amounts is what a comparison reads: columns by name.
func amounts() Spec { return Spec{Columns: []string{"Ref", "Amount"}, Needed: 2} }

// read collects a table's records as "line value value", and what is wrong with
// others. The error is what ended it, or nil.
func read(r io.Reader, spec Spec) (records, wrong []string, err error) {
	for record, err := range Read(r, spec) {
		var bad *Error
		switch {
		case errors.As(err, &bad) && !bad.Fatal:
			if record.Line != bad.Line || record.Values != nil {
				return records, wrong, fmt.Errorf("the record beside %w is %v", err, record)
			}
			wrong = append(wrong, err.Error())
		case err != nil:
			return records, wrong, err
		default:
			records = append(records, strings.TrimSpace(fmt.Sprint(record.Line, " ", strings.Join(record.Values, " "))))
		}
	}
	return records, wrong, nil
}

// Whatever a table is written in, it is the same table.
func TestForms(t *testing.T) {
	t.Parallel()
	want := []string{"2 4925 qr", "3 4926", "6 4927 wechat"}
	csv := "note, Source ,ORDERID\n\"a, \"\"b\"\";\",qr,4925\nx,,4926\n\n,\t,\nมะม่วง,wechat,4927\n"
	lines := []string{`{"orderid":"4925","source":"qr"}`, `{"x":[{"orderid":1}],"OrderID":4926,"source":null}`, "", "", `{"source":"wechat","orderid":" 4927 "}`}
	forms := map[string]string{
		"comma":     csv,
		"semicolon": strings.NewReplacer(",", ";", ";", ",").Replace(csv),
		"tab":       strings.NewReplacer(",", "\t", "\t", " ").Replace(csv),
		"trailing":  strings.ReplaceAll(csv, "\n", ",,\n"),
		"objects":   "\n" + strings.Join(lines, "\n"),
		"array":     "[\n" + strings.Join([]string{lines[0], ",\n" + lines[1] + ",\n\n\n", lines[4]}, "") + " ]\n",
	}
	for _, parts := range []string{",", ";", "\t"} {
		text := "sep=" + parts + "\n" + strings.NewReplacer(",", parts, "\t", " ").Replace("Source,note,orderid\nqr,,4925\n,,4926\n")
		for name, encoded := range encodings(text) {
			checkRead(t, "sep="+parts+" "+name, encoded, []string{"3 4925 qr", "4 4926"})
		}
	}
	for form, text := range forms {
		for name, encoded := range encodings(text) {
			checkRead(t, form+" "+name, encoded, want)
		}
	}
}

// encodings are a text with other line ends and in other encodings.
func encodings(text string) map[string]string {
	wide := func(order binary.AppendByteOrder) string {
		var out []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			out = order.AppendUint16(out, unit)
		}
		return string(out)
	}
	return map[string]string{
		"LF": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "CR": strings.ReplaceAll(text, "\n", "\r"),
		"without a last line end": strings.TrimSuffix(text, "\n"),
		"UTF-8 with a mark":       "\xef\xbb\xbf" + text, "UTF-16 LE": wide(binary.LittleEndian), "UTF-16 BE": wide(binary.BigEndian),
	}
}

func checkRead(t *testing.T, name, text string, want []string) {
	t.Helper()
	for how, r := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
		records, wrong, err := read(r, orders())
		if err != nil || wrong != nil {
			t.Errorf("%s, %s: %v, %v", name, how, wrong, err)
		}
		if diff := cmp.Diff(want, records); diff != "" {
			t.Errorf("%s, %s: %s", name, how, diff)
		}
	}
}

func TestHeadless(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"4925\n\n  4926  \n4927.7":           {"1 4925", "3 4926", "4 4927.7"},
		"\"4925\"\n'4925\n4926,,,\n":         {"1 4925", "3 4926"},
		"4925;qr\n4926;\n4927;wechat;;;\n":   {"1 4925 qr", "2 4926", "3 4927 wechat"},
		"4925\tqr\n4926":                     {"1 4925 qr", "2 4926"},
		"order-1\nid7\n1E5\n":                {"1 order-1", "2 id7", "3 1E5"},
		"orderid":                            nil,
		"OrderID;\n4925;":                    {"2 4925"},
		"sep=;":                              nil,
		"\"sep=;\"\n4925;qr":                 {"2 4925 qr"},
		"[]":                                 nil,
		"[\"4925\", 4926,\n{\"orderid\":1}]": {"1 4925", "1 4926", "2 1"},
		"4925\n\xef\xbb\xbf4926\n":           {"1 4925", "2 4926"},
	} {
		records, _, err := read(strings.NewReader(text), orders())
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, records); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestIsFloat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"492500009999.0": true, "4925.00": true, "+4925.0": true, "4.925E+11": true, "4.92500009999e11": true, "-4.9e-3": true, "4e+11": true, "4e-1": true,
		"": false, "4925": false, "4925.7": false, "4925.": false, ".0": false, "1E5": false, "4E": false, "4e+": false, "e+5": false, "1.e5": false, "1.0.0": false, "a.0": false, "4925.0a": false,
	} {
		if isFloat(text) != want {
			t.Errorf("%q", text)
		}
	}
}

// What is wrong with one record keeps nobody from reading the others.
func TestWrongRecords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"orderid,source\n,qr\n1,paypal\na b,\n2":                {`line 2: "" is no ID`, `line 3: "paypal" is no source`, `line 4: "a b" is no ID`},
		"orderid,x\n1,\"a\"b\n2,c\"\n":                          {`line 2: extraneous or missing " in quoted-field`, `line 3: bare " in non-quoted-field`},
		"orderid,x\n1,\"a\nb":                                   {`line 3: extraneous or missing " in quoted-field`},
		"1,qr\n2,qr,3\n":                                        {"line 2: it has more cells than the columns of a table without a header: orderid, source"},
		"{}\n{\"orderid\":1}\nnope\n[1]\n4925\n":                {"line 1: it has no orderid", "line 3: it is not a JSON object", "line 4: it is not a JSON object", "line 5: it is not a JSON object"},
		"{\"orderid\":1}{\"orderid\":2}":                        {"line 1: it is not a JSON object"},
		"{\"orderid\":1,\"ORDERID\":2}":                         {"line 1: it has the field orderid twice"},
		"{\"orderid\":true}\n{\"orderid\":\"1\",\"source\":{}}": {"line 1: its orderid is neither text nor a number", "line 2: its source is neither text nor a number"},
		"{\"orderid\":-1}\n{\"orderid\":4925.5}\n{\"orderid\":1e5}": {
			"line 1: its orderid -1 is not a whole number; write it as text", "line 2: its orderid 4925.5 is not a whole number; write it as text",
			"line 3: its orderid 1e5 is not a whole number; write it as text",
		},
		"[\n{},\n\n[1],\ntrue, null]": {"line 2: it has no orderid", "line 4: it is not a JSON object", "line 5: its orderid is neither text nor a number", `line 5: "" is no ID`},
	} {
		_, wrong, err := read(strings.NewReader(text), orders())
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, wrong); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestTablesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	float := " is an ID that a program turned into a number; write the column orderid as text"
	const second = "it is a second header; a table has one, on its first line"
	for name, test := range map[string]struct {
		r    io.Reader
		want string
	}{
		"a float":                {strings.NewReader("orderid\n1\n492500009999.0\n"), "line 3: 492500009999.0" + float},
		"a float in a list":      {strings.NewReader("1\n4.925E+11\n"), "line 2: 4.925E+11" + float},
		"a float on the first":   {strings.NewReader("4925.00\n"), "line 1: 4925.00" + float},
		"a float in an object":   {strings.NewReader("{\"orderid\":4925.0}"), "line 1: 4925.0" + float},
		"a float as text":        {strings.NewReader("{\"orderid\":\"4e+11\"}"), "line 1: 4e+11" + float},
		"a float in an array":    {strings.NewReader("[\n1,\n2.0]"), "line 3: 2.0" + float},
		"a second header":        {strings.NewReader("orderid,source\n1,qr\nOrderID,source\n"), "line 3: " + second},
		"another second header":  {strings.NewReader("orderid,source\n1,qr\n\xef\xbb\xbfsource,orderid\nqr,2\n"), "line 3: " + second},
		"a header in a list":     {strings.NewReader("1\norderid\n"), "line 2: " + second},
		"another header":         {strings.NewReader("\nOrder_ID\n1\n"), "line 2: the header has no column orderid; it has Order_ID"},
		"no orderid column":      {strings.NewReader("id;source\n1;qr\n"), "line 1: the header has no column orderid; it has id, source"},
		"neither header nor IDs": {strings.NewReader("a b\n1\n"), `line 1: it is neither a header with a column orderid nor a record: "a b" is no ID`},
		"too many columns":       {strings.NewReader("1,qr,x\n"), "line 1: it is neither a header with a column orderid nor a record: it has more cells than the columns of a table without a header: orderid, source"},
		"two columns":            {strings.NewReader("orderid,x, ORDERID\n"), "line 1: the header has two columns orderid"},
		"a broken header":        {strings.NewReader("orderid,\"x\"y\n1\n"), `line 1: extraneous or missing " in quoted-field`},
		"another separator":      {strings.NewReader("sep=|\norderid|x\n"), `line 1: cells are separated by "|"; use comma, semicolon or tab`},
		"an endless line":        {endless("", '1'), "line 1: it is longer than 65536 bytes; is a quote or bracket left open?"},
		"an endless quote":       {endless("orderid,x\n\n1,\"", 'a'), "line 3: it is longer than 65536 bytes; is a quote or bracket left open?"},
		"an endless object":      {endless("{\"orderid\":1}\n{\"x\":\"", 'a'), "line 2: it is longer than 65536 bytes; is a quote or bracket left open?"},
		"an endless element":     {endless("[{\"orderid\":1},\n\n{\"x\":\"", 'a'), "is longer than 65536 bytes; is a quote or bracket left open?"},
		"endless blanks":         {endless("", '\n'), "line 1: it begins with more than 65536 blanks"},
		"an open array":          {strings.NewReader("[\n{\"orderid\":1},\n"), "line 3: the array is not closed"},
		"a broken array":         {strings.NewReader("[\n{\"orderid\":1}\n{}]"), "line 3: it is not JSON: expected comma after array element"},
		"a broken element":       {strings.NewReader("[{\"orderid\":1},\n{\"orderid\":01}]"), "line 2: it is not JSON: invalid character '1' after object key:value pair"},
		"more than an array":     {strings.NewReader("[1]\n[2]"), "line 2: something follows the array"},
		"no text":                {strings.NewReader("orderid\nPK\x03\x04\x00"), "line 2: it is not text; accepted formats: " + Accepted},
		"UTF-16 without a mark":  {strings.NewReader("1\x002\x00\n\x00"), "line 1: it is not text"},
		"a failing reader":       {io.MultiReader(strings.NewReader("1\n2\n"), iotest.ErrReader(broken)), "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := read(test.r, orders()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// endless is a text that goes on with a byte for a GiB.
func endless(text string, b byte) io.Reader {
	return io.MultiReader(strings.NewReader(text), io.LimitReader(same(b), 1<<30))
}

type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

// What has no line is no list, not even an empty one.
func TestEmpty(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n\r\n", "\xef\xbb\xbf\n", "\xff\xfe"} {
		for _, spec := range []Spec{orders(), amounts()} {
			records, wrong, err := read(strings.NewReader(text), spec)
			if bad, ok := errors.AsType[*Error](err); !ok || !bad.Fatal || bad.Error() != "the input is empty" || records != nil || wrong != nil {
				t.Errorf("%q: %v, %v, %v", text, records, wrong, err)
			}
		}
	}
}

// Columns that are asked for by name need a header.
func TestNamedColumns(t *testing.T) {
	t.Parallel()
	records, wrong, err := read(strings.NewReader("\"Amount\";x;\" ref \"\n\"1,234.50\";;A1\n;;B2\n"), amounts())
	if diff := cmp.Diff([]string{"2 A1 1,234.50", "3 B2"}, records); diff != "" || wrong != nil || err != nil {
		t.Error(diff, wrong, err)
	}
	for text, want := range map[string]string{
		"":                            "the input is empty",
		"A1;300\n":                    "line 1: the header has no column Ref; it has A1, 300",
		"ref,sum\n":                   "line 1: the header has no column Amount; it has ref, sum",
		"ref,\xa8\xd3\xb9\xc7\xb9\n":  "line 1: the header has no column Amount; it has ref, \xa8\xd3\xb9\xc7\xb9 (this is not UTF-8)",
		"ref,amount\nref,amount\n":    "line 2: it is a second header",
		"ref,amount\n4925.0,300.00\n": "line 2: 4925.0 is an ID",
	} {
		if _, _, err := read(strings.NewReader(text), amounts()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, wrong, err := read(strings.NewReader(`["A1",{"ref":"A2"}]`), amounts()); err != nil || len(wrong) != 2 {
		t.Error(wrong, err)
	}
}

// A reader that has seen enough gets no more.
func TestStops(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1\n2\n", "[1,2]", "{}\n{}\n", "orderid\n\"\n2"} {
		n := 0
		for range Read(strings.NewReader(text), orders()) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%q: %d records", text, n)
		}
	}
}

// A table of any size is read in the memory of its longest record.
func TestMemory(t *testing.T) {
	for name, parts := range map[string][3]string{"csv": {"orderid\n", "4925\n", ""}, "objects": {"", "{\"orderid\":\"4925\"}\n", ""}, "array": {"[", "{\"orderid\":\"4925\"},\n", "{\"orderid\":\"1\"}]"}} {
		const n = 100_000
		r := io.MultiReader(strings.NewReader(parts[0]), &repeat{text: parts[1], times: n}, strings.NewReader(parts[2]))
		records := 0
		var most uint64
		var memory runtime.MemStats
		for _, err := range Read(r, orders()) {
			if err != nil {
				t.Fatal(name, err)
			}
			if records++; records%20_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&memory)
				most = max(most, memory.HeapAlloc)
			}
		}
		if records < n || most > 8<<20 {
			t.Errorf("%s: %d records, %d bytes in use", name, records, most)
		}
	}
}

// repeat is a text so many times over.
type repeat struct {
	text  string
	times int
	rest  string
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.times == 0 {
			return 0, io.EOF
		}
		r.rest, r.times = r.text, r.times-1
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"1\n2\n", "orderid,source\n1,qr\n", "sep=;\r\norderid;x\r\"a\nb\";2", "{\"orderid\":\"1\"}\n{}\n", "[{\"orderid\":1},\n2,\"3\"]", "[",
		"orderid,\"\n", "\xef\xbb\xbf{}", "\xff\xfe1\x00\n\x00", "\xfe\xff\x00[\x001\x00]", "4925.0", "orderid\n1\norderid\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, headless bool) {
		spec := orders()
		spec.Headless = headless
		line := 0
		for record, err := range Read(iotest.HalfReader(strings.NewReader(string(data))), spec) {
			var bad *Error
			switch {
			case err != nil && !errors.As(err, &bad):
				t.Fatalf("a text cannot be read: %v", err)
			case err != nil && bad.Line < 1 && bad.Text != "the input is empty", err != nil && !bad.Fatal && bad.Line < line:
				t.Errorf("%v after line %d", err, line)
			case err != nil:
			case len(record.Values) != 2 || spec.Check(record.Values) != nil || isFloat(record.Values[0]):
				t.Errorf("it gives %q", record.Values)
			case record.Line < line:
				t.Errorf("line %d comes after line %d", record.Line, line)
			default:
				line = record.Line
			}
		}
	})
}
