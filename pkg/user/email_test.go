package user_test

import (
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"user-service/pkg/user"
)

func TestEquivalentEmailsHaveOneKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com", "ada@example.com\t", "\u00a0Ada@Example.com\u2003"},
		{
			"user@bücher.example", "user@xn--bcher-kva.example", "USER@BÜCHER.EXAMPLE", "user@XN--BCHER-KVA.example",
			"user@bu\u0308cher.example",
		},
		{"info@straße.example", "info@xn--strae-oqa.example"},
		{"t\u13a0@example.com", "t\uab70@example.com"},
		{"t\u0390@example.com", "t\u0399\u0308\u0301@example.com", "t\u03aa\u0301@example.com"},
		{"\u1fb7@example.com", "\u0391\u0342\u0345@example.com"},
		{"zoe\u0308@example.com", "zoë@example.com", "ZOË@example.com"},
		{"a@例子。公司", "a@例子.公司"},
		{"ſ@example.com", "S@example.com", "s@example.com"},
		{"σας@example.com", "ΣΑΣ@example.com"},
	} {
		for _, other := range same[1:] {
			if got, want := user.EmailKey(other), user.EmailKey(same[0]); got != want {
				t.Errorf("the key of %+q is %+q, want %+q, the key of %+q", other, got, want, same[0])
			}
		}
	}
	for _, different := range [][2]string{
		{"info@straße.example", "info@strasse.example"},
		{"straße@example.com", "strasse@example.com"},
		{"ﬁ@example.com", "fi@example.com"},
		{"ı@example.com", "i@example.com"},
		{"a@é.example", "a@e.example"},
		{"a.b@example.com", "ab@example.com"},
		{"a+b@example.com", "a@example.com"},
		{"１@example.com", "1@example.com"},
	} {
		if user.EmailKey(different[0]) == user.EmailKey(different[1]) {
			t.Errorf("%+q and %+q have the same key, want two keys", different[0], different[1])
		}
	}
}

// TestKeysAreIdempotent checks that the key of a key is the same key, and that Fold ignores case and composition.
func TestKeysAreIdempotent(t *testing.T) {
	t.Parallel()
	for r := rune(0x21); r <= unicode.MaxRune; r++ {
		if !unicode.IsGraphic(r) {
			continue
		}
		key := user.Fold(string(r))
		forms := []string{
			key, string(unicode.SimpleFold(r)), norm.NFD.String(string(r)), norm.NFC.String(string(r)), norm.NFD.String(key),
		}
		for _, same := range forms {
			if got := user.Fold(same); got != key {
				t.Fatalf("%U: %+q folds to %+q, want %+q", r, same, got, key)
			}
		}
	}
	for _, email := range []string{"user@xn--bcher-kva.example", "info@straße.example", "a@例子。公司", "ada@a-b--c.example"} {
		if key := user.EmailKey(email); user.EmailKey(key) != key {
			t.Errorf("the key of %s is %s, and the key of this key is %s, want the same key", email, key, user.EmailKey(key))
		}
	}
}
