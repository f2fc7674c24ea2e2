package user

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxNesting is the maximum number of nested levels of JSON in a request and in metadata.
const MaxNesting = 64

// ErrNesting reports JSON with more levels than MaxNesting.
var ErrNesting = errors.New("nested too deeply")

// ScanJSON reads one JSON value. It calls nul after each string that contains the character NUL, which PostgreSQL can't store. It reads
// token by token, because dec.ReadValue would call itself once for each level of hostile JSON. Errors: ErrNesting, and the errors of dec.
func ScanJSON(dec *jsontext.Decoder, nul func()) error {
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			nul()
		}
		switch depth := dec.StackDepth(); {
		case depth > MaxNesting:
			return ErrNesting
		case depth == 0:
			return nil
		}
	}
}

// AddNUL adds the error for a string that contains the character NUL.
func (f *FieldErrors) AddNUL(pointer string) {
	f.Add(pointer, InvalidCharacters, "must not contain the character NUL (\\u0000)")
}

// CompactObject returns a JSON object without insignificant white space; strings and numbers stay as they were written.
// It reports false if value is not a JSON object.
func CompactObject(value jsontext.Value) (json.RawMessage, bool) {
	if value.Kind() != '{' || value.Compact(jsontext.PreserveRawStrings(true)) != nil {
		return nil, false
	}
	return json.RawMessage(value), true
}
