package user

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"user-service/pkg/access"
)

// ignorable are the ranges of Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode 15.0. The property is stable for
// assigned code points.
var ignorable = [][2]rune{
	{0x00AD, 0x00AD},
	{0x034F, 0x034F},
	{0x061C, 0x061C},
	{0x115F, 0x1160},
	{0x17B4, 0x17B5},
	{0x180B, 0x180F},
	{0x200B, 0x200F},
	{0x202A, 0x202E},
	{0x2060, 0x206F},
	{0x3164, 0x3164},
	{0xFE00, 0xFE0F},
	{0xFEFF, 0xFEFF},
	{0xFFA0, 0xFFA0},
	{0xFFF0, 0xFFF8},
	{0x1BCA0, 0x1BCA3},
	{0x1D173, 0x1D17A},
	{0xE0000, 0xE0FFF},
}

func TestTheInvisibleCharactersAreThoseOfUnicode(t *testing.T) {
	t.Parallel()
	published := map[rune]bool{}
	for _, span := range ignorable {
		for r := span[0]; r <= span[1]; r++ {
			published[r] = true
		}
	}
	if len(published) != 4174 {
		t.Errorf("the ranges have %d code points, want the 4174 of the file", len(published))
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if isDefaultIgnorable(r) != published[r] {
			t.Errorf("U+%04X: default ignorable is %t, want %t", r, !published[r], published[r])
		}
		if published[r] && (!isInvisible(r) || isVisible(r)) {
			t.Errorf("U+%04X: visible, want invisible", r)
		}
	}
}

func TestAnEmailHasNoInvisibleCharacter(t *testing.T) {
	t.Parallel()
	refused := func(email string) bool { return len(CheckEmail(email)) != 0 }
	for _, span := range append(ignorable, [2]rune{0x2800, 0x2800}) {
		for r := span[0]; r <= span[1]; r++ {
			for _, format := range []string{"bo%css@example.com", "boss%c@example.com", "boss@exam%cple.com"} {
				if email := fmt.Sprintf(format, r); !refused(email) {
					t.Errorf("U+%04X: %+q is valid, want invalid", r, email)
				}
			}
		}
	}
	valid := []string{
		"boss@example.com", "пример@пример.рф",
		"수신@예시.한국", "प्रेषक@उदाहरण.भारत",
	}
	for _, email := range valid {
		if refused(email) {
			t.Errorf("%s is invalid, want valid", email)
		}
	}
}

func TestATextThatIsShownHasAVisibleCharacter(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"": true, "Ada": true, "王": true, "🔑": true, "-": true, "👩\u200d🔬": true, "می\u200cخواهم": true, "❤\ufe0f": true,
		" ": false, "\u00a0\u3000": false, "\u3164": false, "\u2800\u2800": false, "\u200b": false, "\ufe0f": false, "\U000e0041": false,
		"Ada\u202e": false, "A\u009bda": false, "A\nda": false,
	} {
		var errs FieldErrors
		Profile{Name: text}.check(&errs)
		if good != (len(errs) == 0) {
			t.Errorf("the name %+q: %v, want valid to be %t", text, errs, good)
		}
		if errs := CheckRole(access.Role{Name: "r", Description: text}); good != (len(errs) == 0) {
			t.Errorf("the description %+q: %v, want valid to be %t", text, errs, good)
		}
	}
}

func TestAUserAgentIsStoredWithoutInvisibleCharacters(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) é": "Mozilla/5.0 (X11; Linux x86_64) é",
		"a\u009b31mb\u202ec\td\x7fe":        "a31mbcde",
		"a\u200bb\u3164c\u2800d\U000e0041e": "abcde",
		"a\u2028b\ufffe\xffc\ue000":         "abc",
		strings.Repeat("\u202e", 300) + "x": "x",
		strings.Repeat("é", 200):            strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200):      "x" + strings.Repeat("é", 127),
	} {
		if got := OriginOf(WithOrigin(context.Background(), Origin{UserAgent: agent})).UserAgent; got != want {
			t.Errorf("%+q is stored as %+q, want %+q", agent, got, want)
		}
	}
}
