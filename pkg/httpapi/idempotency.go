package httpapi

import "strings"

// maxKey is the maximum number of characters of an idempotency key.
const maxKey = 128

// readIdempotencyKey reads the header Idempotency-Key, if there is one. It must be called before the body is read, because the identity of
// the request includes the body. endpoint is the name of the endpoint to which the key belongs. Errors: invalidParameter.
func (a *API) readIdempotencyKey(c *call, endpoint string) error {
	values := c.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil
	}
	key, ok := parseString(values[0])
	if !ok || len(values) > 1 || key == "" || len(key) > maxKey {
		return errParameter(`Idempotency-Key must be one string of 1 to 128 ASCII characters in quotes, such as "8e03978e-40d5-43dd-bc93".`)
	}
	c.onBody = func(body []byte) { c.idempotency = a.users.Idempotent(endpoint, c.by.Caller, key, body) }
	return nil
}

// parseString parses a field value that is a string (RFC 9651 section 4.2.5), without parameters.
func parseString(value string) (s string, ok bool) {
	value = strings.Trim(value, " ")
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	value = value[1 : len(value)-1]
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' || c < ' ' || c > '~':
			return "", false
		case c == '\\':
			if i++; i == len(value) || value[i] != '"' && value[i] != '\\' {
				return "", false
			}
		}
		out.WriteByte(value[i])
	}
	return out.String(), true
}
