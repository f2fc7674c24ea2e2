package user

import (
	"strings"
	"unicode"
)

// isInvisible reports whether a character shows nothing and takes no room, or no ink: those with the property
// Default_Ignorable_Code_Point, and the blank of Braille, which is a letter to everything else.
func isInvisible(r rune) bool {
	const blankBraille = '\u2800'
	return r == blankBraille || isDefaultIgnorable(r)
}

// isDefaultIgnorable derives the property as DerivedCoreProperties.txt of the Unicode Character Database says.
func isDefaultIgnorable(r rune) bool {
	if !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector) {
		return false
	}
	annotation, hieroglyph := r >= 0xFFF9 && r <= 0xFFFB, r >= 0x13430 && r <= 0x13440
	return !annotation && !hieroglyph && !unicode.In(r, unicode.White_Space, unicode.Prepended_Concatenation_Mark)
}

// isVisible reports whether a character can be seen: it is no blank, and has a shape of its own.
func isVisible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !isInvisible(r)
}

// visible takes control, format and other invisible characters out of a text that is shown to others.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) && !isInvisible(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}

// checkVisible adds what is wrong with a text that is shown to others.
func checkVisible(pointer, text string, errs *FieldErrors) {
	if strings.ContainsFunc(text, unsafeInName) {
		errs.Add(pointer, InvalidCharacters, "must not contain control characters, nor those that turn the direction of the text around")
	} else if text != "" && !strings.ContainsFunc(text, isVisible) {
		errs.Add(pointer, Invisible, "must contain a visible character")
	}
}
