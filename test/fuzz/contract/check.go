package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is a request and its response.
type Exchange struct {
	Method, Target string // as sent
	Header         http.Header
	Body           []byte

	Status         int
	ResponseHeader http.Header
	ResponseBody   []byte
}

// Find returns the operation of a request and the values of its path parameters. It returns nil if there is no such operation.
func (c *Contract) Find(method, target string) (op *Operation, params map[string]string) {
	escaped, _, _ := strings.Cut(target, "?")
	path, err := url.PathUnescape(escaped)
	if lower := strings.ToLower(escaped); err != nil || !strings.HasPrefix(lower, "/verify/") && (strings.Contains(lower, "%2f") ||
		strings.Contains(lower, "//")) {
		return nil, nil
	}
	if method == http.MethodHead || slices.Contains(asGet, method) && (path == "/verify" || strings.HasPrefix(path, "/verify/")) {
		method = http.MethodGet
	}
	for _, op := range c.Operations {
		if op.Method != method {
			continue
		}
		if params := match(op.Path, path); params != nil && (found(params) || op.Path == path) {
			return op, params
		}
	}
	return nil, nil
}

// asGet are the methods that /verify handles like GET.
var asGet = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// found reports whether no parameter is empty.
func found(params map[string]string) bool {
	return !slices.Contains(slices.Collect(maps.Values(params)), "")
}

// match returns the parameters of a path; nil if the path does not match. A parameter at the end of /verify matches the rest of
// the path.
func match(template, path string) map[string]string {
	params := map[string]string{}
	if rest, ok := strings.CutPrefix(path, "/verify/"); ok && template == "/verify/{path}" {
		params["path"] = "/" + rest
		return params
	}
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil
	}
	for i, segment := range want {
		if strings.HasPrefix(segment, "{") {
			params[strings.Trim(segment, "{}")] = got[i]
		} else if segment != got[i] {
			return nil
		}
	}
	return params
}

// CheckAnswer returns the keywords of the OpenAPI description that a response violates.
func (c *Contract) CheckAnswer(x Exchange) []Broken {
	op, _ := c.Find(x.Method, x.Target)
	if op == nil {
		return c.checkUnknown(x)
	}
	response := op.Responses[x.Status]
	if response == nil {
		return []Broken{{"responses", op.ID, fmt.Sprintf("the answer %d is not described", x.Status)}}
	}
	return response.check(x)
}

// checkUnknown checks the response to an unknown operation: a problem document, or a valid response to OPTIONS.
func (c *Contract) checkUnknown(x Exchange) []Broken {
	switch {
	case x.Method == http.MethodOptions && x.Status == http.StatusNoContent && x.ResponseHeader.Get("Allow") != "":
		return nil
	case x.Status == http.StatusMethodNotAllowed && x.ResponseHeader.Get("Allow") == "":
		return []Broken{{"headers", x.Target, "a 405 has no Allow"}}
	case x.Status != http.StatusNotFound && x.Status != http.StatusMethodNotAllowed:
		return []Broken{{"paths", x.Target, fmt.Sprintf("the response to an unknown operation has the status %d", x.Status)}}
	}
	return c.problem.check(x)
}

// transport are the headers that each response may have.
var transport = []string{"Allow", "Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding", "X-Content-Type-Options"}

func (r *Response) check(x Exchange) (all []Broken) {
	for name, h := range r.Headers {
		all = append(all, h.check(name, x.ResponseHeader.Values(name))...)
	}
	for name := range x.ResponseHeader {
		if _, described := r.Headers[name]; !described && !slices.Contains(transport, name) {
			all = append(all, Broken{"headers", name, "is not described"})
		}
	}
	return append(all, r.checkBody(x)...)
}

func (h Header) check(name string, values []string) []Broken {
	switch {
	case len(values) == 0 && h.Required:
		return []Broken{{"required", name, "the header is missing"}}
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return []Broken{{"headers", name, "appears more than once"}}
	}
	return h.Schema.Check(h.Schema.parse(values[0]))
}

// parse converts the text of a header or parameter to a value.
func (s *Schema) parse(text string) any {
	types := s.Types()
	for _, typ := range []string{"integer", "number", "boolean"} {
		if !slices.Contains(types, typ) {
			continue
		}
		if value, err := jsonschema.UnmarshalJSON(strings.NewReader(text)); err == nil {
			return value
		}
	}
	return text
}

func (r *Response) checkBody(x Exchange) []Broken {
	media := x.ResponseHeader.Get("Content-Type")
	if len(r.Content) == 0 {
		if len(x.ResponseBody) > 0 || media != "" {
			return []Broken{{"content", "", "there is a body, or its type"}}
		}
		return nil
	}
	schema := r.Content[media]
	switch {
	case schema == nil:
		return []Broken{{"content", media, "the media type is not described"}}
	case x.Method == http.MethodHead:
		return nil
	}
	value, err := parseBody(media, x.ResponseBody)
	if err != nil {
		return []Broken{{"content", media, err.Error()}}
	}
	return append(schema.Check(value), schema.sent(value, "writeOnly")...)
}

func parseBody(media string, body []byte) (any, error) {
	plain, _, err := mime.ParseMediaType(media)
	if plain == mediaForm {
		return parseForm(body)
	}
	if err != nil || plain != "application/json" && !strings.HasSuffix(plain, "+json") {
		return string(body), err
	}
	if !jsontext.Value(body).IsValid() { // one value, in UTF-8, without duplicate names
		return nil, fmt.Errorf("not JSON: %.200q", body)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return value, nil
}

const mediaForm = "application/x-www-form-urlencoded"

// parseForm returns the parameters of a form as an object. An empty parameter counts as absent (RFC 6749 section 3.2).
func parseForm(body []byte) (any, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("read a form: %w", err)
	}
	object := map[string]any{}
	for name, given := range values {
		if len(given) > 1 {
			return nil, fmt.Errorf("%q occurs twice", name)
		}
		if !utf8.ValidString(name + given[0]) {
			return nil, fmt.Errorf("%q is not in UTF-8", name)
		}
		if given[0] != "" {
			object[name] = given[0]
		}
	}
	return object, nil
}

// Encode encodes a value of a schema as a body of a media type.
func Encode(media string, value any) []byte {
	object, ok := value.(map[string]any)
	if media != mediaForm || !ok {
		return JSON(value)
	}
	form := url.Values{}
	for name, member := range object {
		text, ok := member.(string)
		if !ok {
			text = string(JSON(member))
		}
		form.Set(name, text)
	}
	return []byte(form.Encode())
}

// CheckRequest returns the keywords of the OpenAPI description that a request violates.
func (c *Contract) CheckRequest(x Exchange) (all []Broken) {
	op, path := c.Find(x.Method, x.Target)
	if op == nil {
		return nil
	}
	_, rawQuery, _ := strings.Cut(x.Target, "?")
	query, err := url.ParseQuery(rawQuery)
	for _, p := range op.Params {
		switch {
		case p.In == "path":
			all = append(all, p.Schema.Check(p.Schema.parse(path[p.Name]))...)
		case p.In == "query" && err != nil:
			all = append(all, Broken{"query", p.Name, err.Error()})
		case p.In == "query":
			all = append(all, p.check(query[p.Name])...)
		}
	}
	if op.Body != nil {
		all = append(all, op.Body.check(x)...)
	}
	return all
}

func (p Param) check(values []string) []Broken {
	switch {
	case len(values) == 0 && p.Required:
		return []Broken{{"required", p.Name, "the parameter is missing"}}
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return []Broken{{"parameters", p.Name, "appears more than once"}}
	}
	return p.Schema.Check(p.Schema.parse(values[0]))
}

func (b *Body) check(x Exchange) []Broken {
	if len(x.Body) == 0 {
		if b.Required {
			return []Broken{{"required", "body", "is missing"}}
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(x.Header.Get("Content-Type"))
	schema := b.Content[media]
	if err != nil || schema == nil {
		return []Broken{{"content", media, "the media type is not described"}}
	}
	value, err := parseBody(media, x.Body)
	if err != nil {
		return []Broken{{"content", media, err.Error()}}
	}
	return append(schema.Check(value), schema.sent(value, "readOnly")...)
}

// JSON encodes a value of a schema.
func JSON(value any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // never fails: this package created the value
	return bytes.TrimSpace(out.Bytes())
}
