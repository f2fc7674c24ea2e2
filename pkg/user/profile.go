package user

import (
	"unicode"
	"unicode/utf8"
)

// Limits of a profile.
const (
	MaxEmailBytes    = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	MaxNameLength    = 256 // characters
	MaxPictureBytes  = 2048
	MaxLocaleBytes   = 128
	MaxMetadataBytes = 8 << 10
)

// check adds what is wrong with the profile.
func (p Profile) check(errs *FieldErrors) {
	if utf8.RuneCountInString(p.Name) > MaxNameLength {
		errs.Add("/name", TooLong, "must have at most 256 characters", most(MaxNameLength))
	}
	checkVisible("/name", p.Name, errs)
	if p.Picture != "" && !isPicture(p.Picture) {
		errs.Add("/picture", InvalidFormat, "must be an absolute https URI (RFC 3986) of at most 2048 bytes")
	}
	if p.Locale != "" && !isLocale(p.Locale) {
		errs.Add("/locale", InvalidFormat, "must be a BCP 47 language tag, such as en-US")
	}
	if p.Zoneinfo != "" && !isZone(p.Zoneinfo) {
		errs.Add("/zoneinfo", InvalidValue, "must be the name of an IANA time zone, such as Europe/Berlin")
	}
	if len(p.Metadata) > MaxMetadataBytes {
		errs.Add("/metadata", TooLarge, "must be at most 8192 bytes of compact JSON", most(MaxMetadataBytes))
	} else if !hasDoubles(p.Metadata) {
		errs.Add("/metadata", OutOfRange, "must have no number beyond the range of an IEEE 754 double")
	}
}

// unsafeInName is what makes a name look like another one, or take the text after it along: the bidirectional
// embeddings, overrides and isolates (Unicode Standard Annex #9, section 2). The marks of direction are good: they act on
// their neighbors only.
func unsafeInName(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}
