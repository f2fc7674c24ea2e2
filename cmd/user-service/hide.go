package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// hiddenToken replaces a token, and unreadable replaces a message that is not JSON.
const (
	hiddenToken = `"[hidden]"`
	unreadable  = `"[hidden: this message is not JSON]"`
)

// hideTokens replaces the values of all members whose names end in "token", at any depth. The other bytes are unchanged.
func hideTokens(body []byte) []byte {
	values, ok := tokenValues(body)
	if !ok {
		return []byte(unreadable)
	}
	var out []byte
	copied := int64(0)
	for _, v := range values {
		out = append(append(out, body[copied:v.from]...), hiddenToken...)
		copied = v.to
	}
	return append(out, body[copied:]...)
}

// span is a part of a message.
type span struct{ from, to int64 }

// tokenValues returns the values of tokens. ok is false if the message is not a JSON value.
func tokenValues(body []byte) (values []span, ok bool) {
	if !json.Valid(body) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		word, err := decoder.Token()
		if err != nil { // the end
			return values, true
		}
		name, isText := word.(string)
		if !isText || !strings.HasSuffix(strings.ToLower(name), "token") || !isName(body[decoder.InputOffset():]) {
			continue
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		end := decoder.InputOffset()
		values = append(values, span{end - int64(len(value)), end})
	}
}

// isName reports whether the text before rest was the name of a member.
func isName(rest []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(":")) }
