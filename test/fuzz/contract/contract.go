// Package contract reads an OpenAPI 3.1 description, generates request values, and checks responses.
package contract

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Contract is a parsed description.
type Contract struct {
	Operations []*Operation // by path and method

	root     any
	compiler *jsonschema.Compiler
	problem  *Response // the response to an unknown operation
}

// Operation is a method of a path.
type Operation struct {
	ID, Method, Path string
	Tag              string // the first one
	Anonymous        bool   // whether it accepts requests without a token
	Params           []Param
	Body             *Body // nil: none
	Responses        map[int]*Response
}

// Param is a parameter of an operation.
type Param struct {
	Name, In string
	Required bool
	Schema   *Schema
}

// Body is a request body.
type Body struct {
	Required bool
	Content  map[string]*Schema // by media type
}

// Response is a response with one status.
type Response struct {
	Headers map[string]Header
	Content map[string]*Schema // by media type; empty: no body
}

// Header is a response header.
type Header struct {
	Required bool
	Schema   *Schema
}

const resource = "https://contract.test/openapi.json"

// New reads a description in JSON. Errors: unknown or unsupported parts.
func New(description []byte) (*Contract, error) {
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	c := &Contract{root: root, compiler: jsonschema.NewCompiler()}
	c.compiler.AssertFormat()
	for _, f := range formats {
		c.compiler.RegisterFormat(f)
	}
	if err := c.compiler.AddResource(resource, root); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	r := &reader{c: c, schemas: map[string]*Schema{}}
	secured := len(list(r.at("").get("security"))) > 0
	for path, item := range r.at("").get("paths").members() {
		shared := r.params(item.get("parameters"))
		for method, node := range item.members() {
			if slices.Contains(methods, strings.ToUpper(method)) {
				c.Operations = append(c.Operations, r.operation(path, strings.ToUpper(method), node, shared, secured))
			}
		}
	}
	slices.SortFunc(c.Operations, func(a, b *Operation) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
	c.problem = r.problem()
	return c, r.err
}

var methods = []string{
	http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodHead, http.MethodPatch,
	http.MethodTrace,
}

// reader reads parts of a description, and keeps its first error.
type reader struct {
	c   *Contract
	err error

	mu      sync.Mutex
	schemas map[string]*Schema // by their pointers
}

// node is a value of the description after resolving references.
type node struct {
	r       *reader
	pointer string
	value   any
}

// at returns the value at a JSON pointer, and follows references.
func (r *reader) at(pointer string) node {
	value := r.c.root
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		switch v := value.(type) {
		case map[string]any:
			if name != "" {
				value = v[name]
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return node{r: r, pointer: pointer}
			}
			value = v[i]
		default:
			value = nil
		}
	}
	if object, ok := value.(map[string]any); ok && len(object) == 1 {
		if ref, ok := object["$ref"].(string); ok {
			return r.at(strings.TrimPrefix(ref, "#"))
		}
	}
	return node{r, pointer, value}
}

// escape returns a name as a token of a JSON pointer (RFC 6901).
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

func (n node) get(name string) node { return n.r.at(n.pointer + "/" + escape(name)) }

// members yields the members of an object, sorted by name.
func (n node) members() func(func(string, node) bool) {
	object, _ := n.value.(map[string]any)
	return func(yield func(string, node) bool) {
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if !yield(name, n.get(name)) {
				return
			}
		}
	}
}

func (n node) text() string { s, _ := n.value.(string); return s }
func (n node) isTrue() bool { return n.value == true }
func list(n node) []any     { l, _ := n.value.([]any); return l }

func (r *reader) params(n node) (params []Param) {
	for i := range list(n) {
		p := n.get(strconv.Itoa(i))
		params = append(params, Param{p.get("name").text(), p.get("in").text(), p.get("required").isTrue(), r.schema(p.get("schema"))})
	}
	return params
}

func (r *reader) operation(path, method string, n node, shared []Param, secured bool) *Operation {
	op := &Operation{
		ID: n.get("operationId").text(), Method: method, Path: path, Tag: n.get("tags").get("0").text(), Anonymous: !secured,
		Params: append(slices.Clone(shared), r.params(n.get("parameters"))...), Responses: map[int]*Response{},
	}
	if security, own := n.get("security").value.([]any); own {
		op.Anonymous = len(security) == 0 || slices.ContainsFunc(security, func(s any) bool { return len(s.(map[string]any)) == 0 })
	}
	if body := n.get("requestBody"); body.value != nil {
		op.Body = &Body{body.get("required").isTrue(), r.content(body.get("content"))}
	}
	for status, response := range n.get("responses").members() {
		code, err := strconv.Atoi(status)
		if err != nil {
			r.fail(fmt.Errorf("%s: the answer %s is not a status", op.ID, status))
		}
		op.Responses[code] = r.response(response)
	}
	return op
}

func (r *reader) response(n node) *Response {
	resp := &Response{Headers: map[string]Header{}, Content: r.content(n.get("content"))}
	for name, h := range n.get("headers").members() {
		resp.Headers[http.CanonicalHeaderKey(name)] = Header{h.get("required").isTrue(), r.schema(h.get("schema"))}
	}
	return resp
}

func (r *reader) content(n node) map[string]*Schema {
	schemas := map[string]*Schema{}
	for media, content := range n.members() {
		schemas[media] = r.schema(content.get("schema"))
	}
	return schemas
}

// problem returns the response to a request for an unknown operation.
func (r *reader) problem() *Response {
	n := r.at("/components/responses/NotFound")
	if n.value == nil {
		return nil
	}
	return r.response(n)
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
