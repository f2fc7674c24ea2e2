package token

import (
	"crypto/hmac"
	"crypto/sha256"
)

// BodyMACs returns the MACs of a request body: one for each secret, under a key that is derived from the secret. The first MAC belongs to
// Keys.Secret. After a rotation, one of the MACs equals the earlier MAC while the old secret is accepted.
func (t *Tokens) BodyMACs(body []byte) [][]byte {
	keys := t.keys.Load().bodies
	macs := make([][]byte, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		macs[i] = mac.Sum(nil)
	}
	return macs
}
