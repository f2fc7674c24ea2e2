package config_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
)

func newDataKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// TestADataKeyMustLookRandom loads keys of a wrong length, in a wrong form, and keys that are easy to guess.
func TestADataKeyMustLookRandom(t *testing.T) {
	t.Parallel()
	encode := func(key []byte) string { return base64.StdEncoding.EncodeToString(key) }
	sequence := make([]byte, 32)
	for i := range sequence {
		sequence[i] = byte(i)
	}
	for name, key := range map[string]string{
		"text":         "not a key",
		"31 bytes":     encode([]byte(rand.Text() + rand.Text())[:31]),
		"33 bytes":     encode([]byte(rand.Text() + rand.Text())[:33]),
		"no padding":   strings.TrimRight(newDataKey(), "="),
		"two keys":     newDataKey() + newDataKey(),
		"zeros":        encode(make([]byte, 32)),
		"repeated":     encode(bytes.Repeat([]byte("a7!xQ%9z"), 4)),
		"few distinct": encode([]byte("abacbdaecfbdacebfadcbefcadbecfda")),
		"sequence":     encode(sequence),
	} {
		for _, env := range []map[string]string{
			{"DATA_KEY": key},
			{"DATA_KEY": newDataKey(), "DATA_ACCEPTED_KEYS": newDataKey() + ", " + key},
		} {
			if _, err := load(t, with(env)); err == nil {
				t.Errorf("%s: the keys are accepted", name)
			} else if strings.Contains(err.Error(), key) {
				t.Errorf("%s: the error contains the key", name)
			}
		}
	}
	if _, err := load(t, with(map[string]string{"DATA_ACCEPTED_KEYS": newDataKey()})); err == nil {
		t.Error("DATA_ACCEPTED_KEYS is accepted without DATA_KEY")
	}
}

// TestDataKeysRotate rotates the keys in files, in the order that docs/security/rotation.md describes.
func TestDataKeysRotate(t *testing.T) {
	t.Parallel()
	m := watched(t)
	first, second := newDataKey(), newDataKey()
	m.write("DATA_KEY", first)
	want := []string{first + "|"}
	m.await(want...)
	m.write("DATA_ACCEPTED_KEYS", second)
	want = append(want, first+"|"+second)
	m.await(want...)
	m.write("DATA_ACCEPTED_KEYS", second+","+first)
	want = append(want, first+"|"+second+","+first)
	m.await(want...)
	m.write("DATA_KEY", second)
	want = append(want, second+"|"+second+","+first)
	m.await(want...)
	m.write("DATA_KEY", "nothing")
	m.awaitLog("DATA_KEY", "is not the base64 of 32 bytes")
}
