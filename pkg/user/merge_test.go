package user

import (
	"encoding/json"
	"testing"
)

// TestMetadataIsMergedByTheRFC checks the examples of RFC 7396, appendix A, and further examples.
func TestMetadataIsMergedByTheRFC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, ``},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{``, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		{``, `null`, ``},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{
			`{"a":1.10,"b":1E+2}`, `{"big":123456789012345678901234567890,"z":-0.0}`,
			`{"a":1.10,"b":1E+2,"big":123456789012345678901234567890,"z":-0.0}`,
		},
		{`{"html":"<&>"}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}],"html":"<&>"}`},
	} {
		got, err := mergeJSON(json.RawMessage(c.target), json.RawMessage(c.patch))
		if err != nil || string(got) != c.want || (got == nil) != (c.want == "") {
			t.Errorf("%s patched with %s gives %s (%v), want %s", c.target, c.patch, got, err, c.want)
		}
	}
}
