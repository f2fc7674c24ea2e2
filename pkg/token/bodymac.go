package token

import (
	"crypto/hmac"
	"crypto/sha256"
)

// BodyMACs returns the MACs of a request body: one for each secret, under a key that is derived from the secret. The first MAC belongs to
// Keys.Secret. While an old secret is accepted, one of the MACs equals the MAC from the time before the rotation.
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
