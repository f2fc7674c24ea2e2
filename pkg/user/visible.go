package user

import (
	"strings"
	"unicode"
)

// isInvisible reports whether a character has no visible shape. Such characters have the property Default_Ignorable_Code_Point. The
// Braille blank is invisible too, although Unicode classifies it as a symbol.
func isInvisible(r rune) bool {
	const blankBraille = '\u2800'
	return r == blankBraille || isDefaultIgnorable(r)
}

// isDefaultIgnorable reports whether a character has the property Default_Ignorable_Code_Point. It follows the definition in
// DerivedCoreProperties.txt of the Unicode Character Database.
func isDefaultIgnorable(r rune) bool {
	if !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector) {
		return false
	}
	annotation, hieroglyph := r >= 0xFFF9 && r <= 0xFFFB, r >= 0x13430 && r <= 0x13440
	return !annotation && !hieroglyph && !unicode.In(r, unicode.White_Space, unicode.Prepended_Concatenation_Mark)
}

// isVisible reports whether a character has a visible shape.
func isVisible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !isInvisible(r)
}

// visible removes control, format and invisible characters.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) && !isInvisible(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}

// checkVisible validates a text that other users see.
func checkVisible(pointer, text string, errs *FieldErrors) {
	if strings.ContainsFunc(text, unsafeInName) {
		errs.Add(pointer, InvalidCharacters, "must not contain control characters or characters that change the direction of the text")
	} else if text != "" && !strings.ContainsFunc(text, isVisible) {
		errs.Add(pointer, Invisible, "must contain a visible character")
	}
}
