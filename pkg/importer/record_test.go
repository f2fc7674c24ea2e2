package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/user"
)

// describe returns a line of text for each record of a file.
func describe(in io.Reader, format string) []string {
	var all []string
	for r := range records(in, format) {
		switch {
		case r.fatal != nil:
			all = append(all, "fatal: "+r.fatal.Error())
		case r.broken != "":
			all = append(all, fmt.Sprintf("%d %s", r.line, r.broken))
		default:
			a, errs := r.account()
			line := fmt.Sprintf("%d %s|%s|%v|%s", r.line, a.Email, a.Profile.Name, a.Roles, a.Profile.Metadata)
			for _, e := range errs {
				line += "|" + e.Pointer
			}
			all = append(all, line)
		}
	}
	return all
}

func TestFilesOfAllKindsAreRead(t *testing.T) {
	t.Parallel()
	const header = "email,password_hash,name\n"
	const openQuote = "has a quote that is open, or in the middle of a cell; a quote in a cell is written twice"
	const tooLong = "is longer than 65536 bytes"
	tests := map[string]struct {
		format, file string
		want         []string
	}{
		"BOM and CRLF": {JSONLines, "\uFEFF{\"email\":\"a\"}\r\n\r\n{\"email\":\"b\"}", []string{"1 a||[]|", "3 b||[]|"}},
		"a long line": {
			JSONLines, "{\"name\":\"" + strings.Repeat("x", 3*maxRecord) + "\"}\n{\"email\":\"b\"}\n",
			[]string{"1 " + tooLong, "2 b||[]|"},
		},
		"a long last line": {JSONLines, strings.Repeat("x", 2*maxRecord), []string{"1 " + tooLong}},
		"the longest line": {
			JSONLines, "{\"email\":\"a\"" + strings.Repeat(" ", maxRecord-len("{\"email\":\"a\"}\n")) + "}\n{\"email\":\"b\"}",
			[]string{"1 a||[]|", "2 b||[]|"},
		},
		"two objects in a line": {JSONLines, "{\"email\":\"a\"}{\"email\":\"b\"}\n", []string{"1 is not a JSON object in UTF-8"}},
		"not UTF-8": {
			JSONLines, "{\"email\":\"\xff\"}\n{\"email\":\"\\ud800\"}",
			[]string{"1 is not a JSON object in UTF-8", "2 is not a JSON object in UTF-8"},
		},
		"deep metadata": {
			JSONLines, `{"metadata":` + strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65) + "}\n" +
				`{"metadata":` + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64) + "}\n",
			[]string{"1 ||[]||/metadata", "2 ||[]|" + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)},
		},
		"CSV with BOM and CRLF": {CSV, "\uFEFFname,email,password_hash\r\nA,a,h\r\n\r\nB,b,h", []string{"2 a|A|[]|", "4 b|B|[]|"}},
		"a newline in a cell": {
			CSV, header + "a,h,\"A\n\nA\"\nb,h,B\n", []string{"2 a|A\n\nA|[]|", "5 b|B|[]|"},
		},
		"quotes": {
			CSV, header + "a,h,\"A \"\"the\"\" A\"\nb,h,B\"B\nc,h,\"C\"C\nd,h,D\n",
			[]string{`2 a|A "the" A|[]|`, "3 " + openQuote, "4 " + openQuote, "5 d|D|[]|"},
		},
		"a quote that stays open": {CSV, header + "a,h,A\nb,h,\"B\nc,h,C\n", []string{"2 a|A|[]|", "3 " + openQuote}},
		"a quote that stays open for long": {
			CSV, header + "a,h,A\nb,h,\"B\n" + strings.Repeat("c,h,C\n", maxRecord),
			[]string{"2 a|A|[]|", "fatal: read a row: " + tooLong + ": perhaps a quote is left open"},
		},
		"too few and too many": {
			CSV, header + "a,h\nb,h,B,B\nc,h,C\n",
			[]string{"2 does not have as many columns as the header", "3 does not have as many columns as the header", "4 c|C|[]|"},
		},
		"CSV not in UTF-8": {CSV, header + "a,h,M\xfcller\nb,h,B\n", []string{"2 is not UTF-8", "3 b|B|[]|"}},
		"cells of all kinds": {
			CSV, "email,password_hash,roles,metadata,email_verified\n" +
				"a,h,user; admin  boss,\"{\"\"n\"\": 1.10}\",True\nb,h,,,\nc,h,;,[1],yes\nd,h,x,{a},0\n",
			[]string{`2 a||[user admin boss]|{"n":1.10}`, "3 b||[]|", "4 c||[]||/email_verified|/metadata", "5 d||[x]||/metadata"},
		},
		"a header alone": {CSV, "email,password_hash", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way, in := range map[string]io.Reader{
				"whole": strings.NewReader(test.file), "in small pieces": iotest.HalfReader(strings.NewReader(test.file)),
			} {
				got := describe(in, test.format)
				for i := range got { // errors come in any order
					got[i] = strings.ReplaceAll(got[i], "/metadata|/email_verified", "/email_verified|/metadata")
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("read %s (-want +got):\n%s", way, diff)
				}
			}
		})
	}
}

// TestATruncatedFileIsAnError reads from a source that fails in the middle of a record. This failure must not count as the end of the
// file.
func TestATruncatedFileIsAnError(t *testing.T) {
	t.Parallel()
	files := map[string]string{JSONLines: "{\"email\":\"a\"}\n{\"ema", CSV: "email,password_hash\na,h\nb"}
	for format, file := range files {
		broken := io.MultiReader(strings.NewReader(file), iotest.ErrReader(errors.New("the disk is gone")))
		got := describe(broken, format)
		if last := got[len(got)-1]; len(got) != 2 || !strings.HasPrefix(last, "fatal: ") || !strings.HasSuffix(last, "the disk is gone") {
			t.Errorf("%s: the records are %q, want one account and a fatal error", format, got)
		}
	}
}

// TestEachFieldOfAProfileIsImported imports each field of a profile from both formats.
func TestEachFieldOfAProfileIsImported(t *testing.T) {
	t.Parallel()
	for _, f := range user.ProfileFields {
		value, cell := `"x"`, "x"
		if fields[f.Name].kind == kindObject {
			value, cell = `{"x":1}`, `"{""x"":1}"`
		}
		for format, file := range map[string]string{
			JSONLines: `{"email":"a","` + f.Name + `":` + value + `}`,
			CSV:       "email,password_hash," + f.Name + "\na,h," + cell,
		} {
			for r := range records(strings.NewReader(file), format) {
				var want user.Profile
				switch to := f.In(&want).(type) {
				case *string:
					*to = "x"
				case *json.RawMessage:
					*to = json.RawMessage(value)
				}
				a, errs := r.account()
				if diff := cmp.Diff(want, a.Profile); diff != "" || errs != nil || r.fatal != nil {
					t.Errorf("%s of %s: %v, %v, %s", f.Name, format, r.fatal, errs, diff)
				}
			}
		}
	}
}
