package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// hiddenToken stands for a token that is not shown, and unreadable for a message that can't be searched for one.
const (
	hiddenToken = `"[hidden]"`
	unreadable  = `"[hidden: this message is not JSON]"`
)

// hideTokens replaces the value of each member of an event whose name ends in "token", at any depth. All else stays
// as it is, to the byte.
func hideTokens(body []byte) []byte {
	values, ok := tokenValues(body)
	if !ok {
		return []byte(unreadable)
	}
	var out []byte
	shown := int64(0)
	for _, v := range values {
		out = append(append(out, body[shown:v.from]...), hiddenToken...)
		shown = v.to
	}
	return append(out, body[shown:]...)
}

// span is a part of a message.
type span struct{ from, to int64 }

// tokenValues finds the values of tokens. It reports whether the message is one JSON value.
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
