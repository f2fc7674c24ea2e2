package main

import "testing"

func TestTokensOfEventsAreHidden(t *testing.T) {
	t.Parallel()
	const noToken = `{"type":"user.created","data":{"user":{"email":"a@example.com","n":1.10}}}`
	for body, want := range map[string]string{
		noToken: noToken,
		`{"data":{"token":"s3cret","expires_at":"2026"}}`:               `{"data":{"token":"[hidden]","expires_at":"2026"}}`,
		`{ "data" : { "token" : "s3\"cret" , "a" : 1E+2 } } `:           `{ "data" : { "token" : "[hidden]" , "a" : 1E+2 } } `,
		`[{"a":[{"Refresh_Token":["s3cret",{}]}]},{"\u0074oken":null}]`: `[{"a":[{"Refresh_Token":"[hidden]"}]},{"\u0074oken":"[hidden]"}]`,
		`{"token":{"token":"s3cret"},"token":"s3cret","a":"token"}`:     `{"token":"[hidden]","token":"[hidden]","a":"token"}`,
		`["token","s3cret is not a member"]`:                            `["token","s3cret is not a member"]`,
		`{"token":"s3cret"`:                                             unreadable,
		`{"token":"s3cret"} {"token":"s3cret"}`:                         unreadable,
		`token=s3cret`:                                                  unreadable,
		``:                                                              unreadable,
	} {
		if got := string(hideTokens([]byte(body))); got != want {
			t.Errorf("%s is printed as\n%s, want\n%s", body, got, want)
		}
	}
}
