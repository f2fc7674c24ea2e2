package factor_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"user-service/pkg/factor"
)

func newKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

func keys(t *testing.T, key, accepted string) *factor.Keys {
	t.Helper()
	k, err := factor.NewKeys(key, accepted)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestASecretIsBoundToItsFactor opens a sealed secret with other ids, other keys, and after each change of a bit.
func TestASecretIsBoundToItsFactor(t *testing.T) {
	t.Parallel()
	key, secret := newKey(), factor.NewSecret()
	k := keys(t, key, "")
	sealed, err := k.Seal(ada, grace, secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(ada, grace, sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("the secret is %x (%v), want %x", got, err, secret)
	}
	if again, _ := k.Seal(ada, grace, secret); bytes.Equal(again.Data, sealed.Data) {
		t.Error("two seals of a secret are equal")
	}
	if bytes.Contains(sealed.Data, secret) || strings.Contains(key, sealed.KeyID) {
		t.Error("the sealed secret contains the secret, or its id the key")
	}
	refused := func(name string, k *factor.Keys, s factor.Sealed) {
		t.Helper()
		if _, err := k.Open(ada, grace, s); err == nil {
			t.Errorf("%s is opened", name)
		}
	}
	if _, err := k.Open(grace, ada, sealed); err == nil {
		t.Error("the secret of another user and factor is opened")
	}
	refused("a secret of another key", keys(t, newKey(), ""), sealed)
	refused("an empty secret", k, factor.Sealed{KeyID: sealed.KeyID})
	for i := range sealed.Data {
		changed := slices.Clone(sealed.Data)
		changed[i] ^= 1
		refused("a changed secret", k, factor.Sealed{KeyID: sealed.KeyID, Data: changed})
	}
}

// TestKeysRotate moves a secret from one key to the next one.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	old, next, secret := newKey(), newKey(), factor.NewSecret()
	k := keys(t, old, " "+next+" ,")
	sealed, err := k.Seal(ada, grace, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Set(next, old); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(k.OtherIDs(), []string{sealed.KeyID}) {
		t.Errorf("the other keys are %v, want %s", k.OtherIDs(), sealed.KeyID)
	}
	moved, err := k.Reseal(ada, grace, sealed)
	if err != nil || moved.KeyID != k.CurrentID() {
		t.Fatalf("the new seal has the key %s (%v), want %s", moved.KeyID, err, k.CurrentID())
	}
	if err := k.Set(next, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(ada, grace, moved); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("the secret is %x (%v), want %x", got, err, secret)
	}
	if _, err := k.Open(ada, grace, sealed); err == nil {
		t.Error("the removed key opens a secret")
	}
}

// TestInvalidKeysChangeNothing sets invalid keys.
func TestInvalidKeysChangeNothing(t *testing.T) {
	t.Parallel()
	k := keys(t, newKey(), "")
	id := k.CurrentID()
	for _, invalid := range []string{"x", base64.StdEncoding.EncodeToString(make([]byte, 31)), strings.TrimRight(newKey(), "=")} {
		if k.Set(invalid, "") == nil || k.Set(newKey(), invalid) == nil {
			t.Errorf("%q is accepted as a key", invalid)
		}
	}
	if k.CurrentID() != id || !k.Enabled() {
		t.Error("an invalid key has replaced the key")
	}
	if off := keys(t, "", ""); off.Enabled() || (*factor.Keys)(nil).Enabled() {
		t.Error("factors are enabled without a key")
	}
	if _, err := keys(t, "", newKey()).Seal(ada, grace, nil); err == nil {
		t.Error("an accepted key seals a secret")
	}
}
