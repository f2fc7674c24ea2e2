package contract_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"user-service/test/fuzz/contract"
)

// TestCheckerKnowsTheKeywordsOfTheStandard breaks keywords that the description does not use today.
func TestCheckerKnowsTheKeywordsOfTheStandard(t *testing.T) {
	t.Parallel()
	for keyword, c := range map[string]struct{ schema, good, bad string }{
		"const":                 {`{"const": "a"}`, `"a"`, `"b"`},
		"multipleOf":            {`{"multipleOf": 3}`, `9`, `10`},
		"exclusiveMinimum":      {`{"exclusiveMinimum": 3}`, `4`, `3`},
		"exclusiveMaximum":      {`{"exclusiveMaximum": 3}`, `2`, `3`},
		"minProperties":         {`{"minProperties": 1}`, `{"a": 1}`, `{}`},
		"maxProperties":         {`{"maxProperties": 1}`, `{"a": 1}`, `{"a": 1, "b": 2}`},
		"propertyNames":         {`{"propertyNames": {"pattern": "^a"}}`, `{"a": 1}`, `{"b": 1}`},
		"additionalProperties":  {`{"properties": {"a": {}}, "additionalProperties": false}`, `{"a": 1}`, `{"b": 1}`},
		"unevaluatedProperties": {`{"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": false}`, `{"a": 1}`, `{"b": 1}`},
		"dependentRequired":     {`{"dependentRequired": {"a": ["b"]}}`, `{"b": 1}`, `{"a": 1}`},
		"oneOf":                 {`{"oneOf": [{"minimum": 1}, {"minimum": 5}]}`, `3`, `7`},
		"anyOf":                 {`{"anyOf": [{"const": 1}, {"const": 5}]}`, `5`, `7`},
		"not":                   {`{"not": {"type": "null"}}`, `1`, `null`},
		"contains":              {`{"contains": {"const": 1}}`, `[2, 1]`, `[2]`},
		"minimum":               {`{"if": {"type": "integer"}, "then": {"minimum": 5}}`, `5`, `4`},
		"minLength":             {`{"prefixItems": [{"minLength": 2}]}`, `["ab"]`, `["a"]`},
		"maxLength":             {`{"patternProperties": {"^a": {"maxLength": 1}}}`, `{"a": "b"}`, `{"a": "bc"}`},
		"required":              {`{"allOf": [{"required": ["a"]}, {"required": ["b"]}]}`, `{"a": 1, "b": 1}`, `{"a": 1}`},
		"uniqueItems":           {`{"uniqueItems": true}`, `[1, 2]`, `[{"a": 1, "b": 2}, {"b": 2, "a": 1}]`},
		"writeOnly":             {`{"properties": {"a": {"type": "string", "writeOnly": true}}}`, `{}`, `{"a": "b"}`},
		"content":               {`{}`, `{"a": 1}`, `{"a": 1, "a": 1}`},
	} {
		t.Run(keyword, func(t *testing.T) {
			t.Parallel()
			d, err := contract.New(fmt.Appendf(nil,
				`{"openapi": "3.1.0", "paths": {"/x": {"get": {"operationId": "x", "responses": {"200": {
				"description": "", "content": {"application/json": {"schema": %s}}}}}}}}`, c.schema))
			if err != nil {
				t.Fatal(err)
			}
			x := contract.Exchange{
				Method: "GET", Target: "/x", Status: 200,
				ResponseHeader: http.Header{"Content-Type": {"application/json"}},
			}
			x.ResponseBody = []byte(c.good)
			if found := d.CheckAnswer(x); len(found) > 0 {
				t.Errorf("the valid body %s is reported: %v, want nothing", c.good, found)
			}
			x.ResponseBody = []byte(c.bad)
			if found := d.CheckAnswer(x); len(found) != 1 || found[0].Keyword != keyword {
				t.Errorf("the checker reports %v for %s, want the keyword %s", found, c.bad, keyword)
			}
		})
	}
}

// TestCheckerFindsAnAnswerOutsideTheDescription changes the status and the headers of a response.
func TestCheckerFindsAnAnswerOutsideTheDescription(t *testing.T) {
	t.Parallel()
	c := load(t)
	for what, alter := range map[string]func(*contract.Exchange){
		"status":                  func(x *contract.Exchange) { x.Status = 418 },
		"media type":              func(x *contract.Exchange) { x.ResponseHeader.Set("Content-Type", "text/plain") },
		"charset":                 func(x *contract.Exchange) { x.ResponseHeader.Set("Content-Type", "application/json; charset=latin1") },
		"no media type":           func(x *contract.Exchange) { x.ResponseHeader.Del("Content-Type") },
		"missing header":          func(x *contract.Exchange) { x.ResponseHeader.Del("ETag") },
		"header twice":            func(x *contract.Exchange) { x.ResponseHeader.Add("ETag", `"3"`) },
		"unknown header":          func(x *contract.Exchange) { x.ResponseHeader.Set("X-Powered-By", "Go") },
		"cut off":                 func(x *contract.Exchange) { x.ResponseBody = x.ResponseBody[:10] },
		"no body":                 func(x *contract.Exchange) { x.ResponseBody = nil },
		"two values":              func(x *contract.Exchange) { x.ResponseBody = append(x.ResponseBody, "{}"...) },
		"invalid UTF-8":           func(x *contract.Exchange) { x.ResponseBody = []byte("{\"name\": \"\xff\"}") },
		"a body of 304":           func(x *contract.Exchange) { x.Status = 304; x.ResponseHeader.Del("Content-Type") },
		"an unknown path":         func(x *contract.Exchange) { x.Target = "/users/me/friends" },
		"a hidden slash":          func(x *contract.Exchange) { x.Target = "/users%2Fme" },
		"another method":          func(x *contract.Exchange) { x.Method = "POST" },
		"405 without Allow":       func(x *contract.Exchange) { x.Method = "POST"; x.Status = 405 },
		"503 without Retry-After": func(x *contract.Exchange) { problem(x, 503) },
		"401 without a challenge": func(x *contract.Exchange) { problem(x, 401) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, op := range c.Operations {
				if op.ID != "getUser" {
					continue
				}
				x := answer(op, 200, op.Responses[200])
				if found := c.CheckAnswer(x); len(found) > 0 {
					t.Fatal(found)
				}
				if alter(&x); len(c.CheckAnswer(x)) == 0 {
					t.Error("the checker reports nothing, want a fault")
				}
			}
		})
	}
}

// problem turns a response into a problem document with this status, without its required headers.
func problem(x *contract.Exchange, status int) {
	x.Status = status
	x.ResponseHeader.Del("ETag")
	x.ResponseHeader.Set("Content-Type", "application/problem+json")
	x.ResponseBody = fmt.Appendf(nil,
		`{"type": "/problems/internal", "title": "t", "status": %d, "instance": "/", "request_id": "a"}`, status)
}

// TestFindKnowsTheOperations checks which operation Find returns for a path in the form in which a client sends it.
func TestFindKnowsTheOperations(t *testing.T) {
	t.Parallel()
	c := load(t)
	for request, want := range map[string]string{
		"GET /users/me": "getUser", "HEAD /users/me": "getUser", "GET /%75sers/me?x=/": "getUser", "GET /users/": "", "GET /users//me": "",
		"GET /users%2fme": "",
		"PUT /verify":     "verify", "DELETE /verify/a//b%2Fc": "verifyPath", "TRACE /users": "", "TRACE /verify": "",
		"HEAD /verify": "verify",
		"PUT /roles/a": "putRole", "GET /roles/a": "",
	} {
		method, target, _ := strings.Cut(request, " ")
		got := ""
		if op, _ := c.Find(method, target); op != nil {
			got = op.ID
		}
		if got != want {
			t.Errorf("%s is %q, want %q", request, got, want)
		}
	}
}
