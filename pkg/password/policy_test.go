package password

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var adasWords = []string{"Ada.Lovelace@example.com", "Ada King, Countess of Lovelace"}

func TestPolicyAcceptsGoodPasswords(t *testing.T) {
	t.Parallel()
	for _, password := range []string{
		"seven green kettles sing", "xK9#mQ2$vL5@nR8",
		"829374650192837", "!?%&=:;~^°§|<>{}", // one kind of characters
		"семь зелёных чайников", "天地玄黄宇宙洪荒日月盈昃辰宿列张",
		"🐙🎈🌵🚲🧀🪁🍋🎻🦉🧲🪐🥁🧵🪴🛶",
		"   seven     kettles   ", "fifteen letters",
		"ﬁve ﬂat tires", // 15 characters after NFKC, 13 before
		strings.Repeat("seven green kettles; ", 7)[:128],                             // the maximum length
		strings.Repeat("a", 33), strings.Repeat("a", 64), strings.Repeat("ab1!", 32), // longer than maxPattern
		"ada likes lovely lace", "lovelace and babbage", // personal words among others
		"the 12345 monkeys of abcdefgh",
	} {
		if err := (Policy{MinLength: 15}).Check(password, adasWords...); err != nil {
			t.Errorf("Check(%q) = %v", password, err)
		}
	}
	if err := (Policy{MinLength: 8}).Check("gr3yw0lf"); err != nil {
		t.Errorf("8 characters with a minimum of 8: %v", err)
	}
}

// TestPersonalWordsAreFoundInEachCase checks words in the other case. Cherokee is special: unicode.ToLower and full case folding map its
// letters in opposite directions.
func TestPersonalWordsAreFoundInEachCase(t *testing.T) {
	t.Parallel()
	for word, password := range map[string]string{
		"ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᏣᎳᎩ": "ꮳꮃꭹ ꭶꮼꮒꭿꮝꮧ ꮳꮃꭹ", "ꮳꮃꭹ ꭶꮼꮒꭿꮝꮧ ꮳꮃꭹ": "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᏣᎳᎩ", "ΟΔΥΣΣΕΥΣ ΛΑΕΡΤΙΑΔΗΣ": "οδυσσευς λαερτιαδης",
		"Strasse der Gruße 1": "STRASSE DER GRUẞE 1",
	} {
		if err := (Policy{MinLength: 8}).Check(password, word); err == nil {
			t.Errorf("the name %s is allowed as the password %s", word, password)
		}
	}
}

func TestPolicyRefusesWeakPasswords(t *testing.T) {
	t.Parallel()
	tests := map[Reason][]string{
		NotUTF8: {"seven green \xff kettles", "\xc3\x28 is not a letter"},
		TooShort: {
			"", "short", "fourteen chars", "Ada", "пятнадцать бук",
			"e\u0301te\u0301 a\u0300 la mer", // 16 code points before NFKC
		},
		TooLong: {
			strings.Repeat("seven green kettles; ", 7)[:129],
			strings.Repeat("ﬃ green ", 14), // 112 characters before NFKC, 140 after
		},
		Common: {
			"passwordpassword", "PassWordPassWord", "password password", "sunshine-sunshine!", "iloveyouiloveyouilove",
			"correcthorsebatterystaple", "passwordpassword123", "iloveyouforever", "ILOVEYOUFOREVER", "password1234567",
			"ｐａｓｓｗｏｒｄ１２３４５６７", // full-width letters
			"footballbaseball", "football baseball", "manchesterunited2024",
		},
		Repeated: {
			"aaaaaaaaaaaaaaa", "               ", "abcabcabcabcabc", "abcabcabcabcabcab", "a-a-a-a-a-a-a-a-a-a", "ééééééééééééééé",
			"monkey monkey monkey", "monkey1monkey1monkey1", "aaaaaaaaaaaaaaaaaaa1", "ABCabcABCabcABC", "1122112211221122",
			"!!!###$$$!!!###$$$",
		},
		Sequence: {
			"123456789012345", "12345678901234567890", "543210987654321", "abcdefghijklmno", "ZYXWVUTSRQPONML", "qwertyuiopasdfgh",
			"qwertyuiop123456", "1qaz2wsx3edc4rfv", "1q2w3e4r5t6y7u8i", "qweasdzxcrtyfghvbn", "qwertyuiop12345!", "abcd1234efgh5678",
			"йцукенгшщзхъфыва", "!@#$%^&*()_+qwer", "xx123456789abcdef",
		},
		Personal: {
			"ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM", "adalovelaceexamplecom", "ada-lovelace@example.com1815", // the email
			"adalovelaceadalovelace", "Ada Lovelace 1815", "ada_lovelace_12345", // its local part
			"Ada King, Countess of Lovelace", "adakingcountessoflovelace", "ada king countess of lovelace!!", // the name
		},
	}
	for reason, passwords := range tests {
		for _, password := range passwords {
			err := (Policy{MinLength: 15}).Check(password, adasWords...)
			refused, ok := errors.AsType[*PolicyError](err)
			if !ok || refused.Reason != reason {
				t.Errorf("Check(%q) = %#v, want %s", password, err, reason)
				continue
			}
			if password != "" && strings.Contains(refused.Error(), password) {
				t.Errorf("the error contains the password: %v", refused)
			}
		}
	}
}

func TestPolicyRefusesOwnWords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		word, password string
		refused        bool
	}{
		{"wolfgangamadeus@example.com", "wolfgangamadeus", true},
		{"wolf@example.com", "wolfwolfwolfwolf1", true},
		{"wolf@example.com", "wolf829374650192", true},
		{"wolf@example.com", "werewolf likes ham", false},
		{"wolf@example.com", "wolfhound 29 ham", false},
		{"bob@example.com", "bob829374650192", false}, // a short word is refused only alone
		{"bob@example.com", "...... b.o.b ......", true},
		{"Zoë Müller-Lüdenscheidt", "zoe\u0308mu\u0308llerlu\u0308denscheidt", true},
		{"Straße Straßenbahn", "STRASSE STRASSENBAHN", true},
		{"", "seven green kettles", false},
		{"@", "!?%&=:;~^°§|<>{}", false},
		{"abcd@example.com", "!?%&=:;~^°§|<>{}", false}, // only punctuation
		{"abcd@example.com", "829374650192837", false},  // only digits
	}
	for _, test := range tests {
		err := (Policy{MinLength: 15}).Check(test.password, test.word)
		policyErr, refused := errors.AsType[*PolicyError](err)
		if refused != test.refused || (refused && policyErr.Reason != Personal) {
			t.Errorf("Check(%q, %q) = %v, want refused %t", test.password, test.word, err, test.refused)
		}
	}
}

func TestPolicyGivesAdvice(t *testing.T) {
	t.Parallel()
	tests := []struct {
		minLength int
		password  string
		advice    string
	}{
		{15, "short", "must have at least 15 characters"},
		{20, "not twenty yet", "must have at least 20 characters"},
		{0, "seven", "must have at least 8 characters"},
		{15, strings.Repeat("seven green kettles; ", 7), "must have at most 128 characters"},
	}
	for _, test := range tests {
		if err := (Policy{MinLength: test.minLength}).Check(test.password); err == nil || err.Error() != test.advice {
			t.Errorf("Check(%q) = %v, want %s", test.password, err, test.advice)
		}
	}
}

// TestCommonList checks the size, the order and the entries of the list that tools/commonpasswords generates.
func TestCommonList(t *testing.T) {
	t.Parallel()
	words := strings.Split(strings.TrimSuffix(commonText, "\n"), "\n")
	if len(words) < 10_000 || len(words) > 100_000 || len(commonText) >= 1<<20 {
		t.Errorf("the list has %d passwords in %d bytes, want 10,000 to 100,000 in less than 1 MiB", len(words), len(commonText))
	}
	if !slices.IsSorted(words) || len(commonSet()) != len(words) {
		t.Error("the list is not sorted, or has duplicates")
	}
	for _, word := range words {
		if Simplify(word) != word {
			t.Errorf("%q is not in the form of Simplify", word)
		}
		refused, ok := errors.AsType[*PolicyError](Policy{}.Check(word))
		if !ok || refused.Reason != Common {
			t.Errorf("%q is on the list, but Check does not return Common: %v", word, refused)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	policy := Policy{MinLength: 15}
	for name, password := range map[string]string{
		"good":     "seven green kettles sing",
		"long":     strings.Repeat("seven green kettles; ", 7)[:128],
		"sequence": strings.Repeat("1234567890", 12),
	} {
		b.Run(fmt.Sprintf("%s-%d", name, len(password)), func(b *testing.B) {
			for b.Loop() {
				_ = policy.Check(password, adasWords...)
			}
		})
	}
}

func TestTheLongestPasswordInCodePoints(t *testing.T) {
	t.Parallel()
	four := "\u03b1\u0313\u0300\u0345" // U+1F82
	if err := (Policy{}).Check(strings.Repeat(four, 128), adasWords...); err != nil {
		t.Errorf("128 characters of 512 code points: %v", err)
	}
	for name, password := range map[string]string{
		"129 characters":                    strings.Repeat(four, 129),
		"one code point more than 4 * 128":  strings.Repeat(four, 128) + "\u0345",
		"one character of 513 code points":  "a" + strings.Repeat("\u0301", 512),
		"18 characters for each code point": strings.Repeat("\ufdfa", 8),
	} {
		var refused *PolicyError
		if err := (Policy{}).Check(password); !errors.As(err, &refused) || refused.Reason != TooLong || !IsTooLong(password) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongTextIsNotNormalized checks texts whose normal form would have about a megabyte. The checks must allocate much less. The test is
// not parallel, because it measures allocations.
func TestLongTextIsNotNormalized(t *testing.T) {
	long := strings.Repeat("\ufdfa", 21_000)
	_ = Policy{}.Check("seven green kettles sing") // parses the list of common passwords once
	for name, check := range map[string]func() error{
		"password": func() error { return Policy{}.Check(long) },
		"length": func() error {
			if IsTooLong(long) {
				return &PolicyError{Reason: TooLong}
			}
			return nil
		},
	} {
		var err error
		if got := allocated(func() { err = check() }); got > 64<<10 || err == nil {
			t.Errorf("%s: %d bytes are allocated, and the error is %v", name, got, err)
		}
	}
	email := long + "@example.com"
	if got := allocated(func() { _ = Policy{MinLength: 15}.Check("seven green kettles sing", long, email) }); got > 64<<10 {
		t.Errorf("personal words: %d bytes are allocated", got)
	}
}
