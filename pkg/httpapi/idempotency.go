package httpapi

import "github.com/dunglas/httpsfv"

// maxKey is the maximum number of characters of an idempotency key.
const maxKey = 128

// readIdempotencyKey reads the header Idempotency-Key, if there is one: a string without parameters (RFC 9651). It must be called
// before the body is read, because the identity of the request includes the body. endpoint is the name of the endpoint to which the key
// belongs. Errors: invalidParameter.
func (a *API) readIdempotencyKey(c *call, endpoint string) error {
	values := c.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil
	}
	item, err := httpsfv.UnmarshalItem(values)
	key, _ := item.Value.(string)
	if err != nil || len(item.Params.Names()) > 0 || key == "" || len(key) > maxKey {
		return errParameter(`Idempotency-Key must be one string of 1 to 128 ASCII characters in quotes, such as "8e03978e-40d5-43dd-bc93".`)
	}
	c.onBody = func(body []byte) { c.idempotency = a.users.Idempotent(endpoint, c.by.Caller, key, body) }
	return nil
}
