package user

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // zoneinfo is checked against the same zones on every machine, scratch images too
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// Limits of a profile.
const (
	MaxEmailBytes    = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	MaxNameLength    = 256 // characters
	MaxPictureBytes  = 2048
	MaxLocaleBytes   = 35 // RFC 5646 section 4.4.1
	MaxMetadataBytes = 8 << 10
	maxZoneBytes     = 64 // more than any name of IANA has
)

// Fold returns the form in which emails and names are compared: whatever their case
// and however their characters are composed.
func Fold(s string) string { return cases.Fold().String(norm.NFC.String(s)) }

// check adds what is wrong with the profile.
func (p Profile) check(errs *FieldErrors) {
	if utf8.RuneCountInString(p.Name) > MaxNameLength {
		errs.Add("/name", "must have at most 256 characters")
	}
	checkShown("/name", p.Name, errs)
	if p.Picture != "" && !isPicture(p.Picture) {
		errs.Add("/picture", "must be an absolute https URL of at most 2048 bytes")
	}
	if p.Locale != "" && !isLocale(p.Locale) {
		errs.Add("/locale", "must be a BCP 47 language tag, such as en-US")
	}
	if p.Zoneinfo != "" && !isZone(p.Zoneinfo) {
		errs.Add("/zoneinfo", "must be the name of an IANA time zone, such as Europe/Berlin")
	}
	if len(p.Metadata) > MaxMetadataBytes {
		errs.Add("/metadata", "must be at most 8192 bytes of compact JSON")
	}
}

// checkEmail adds what is wrong with an email address.
func checkEmail(email string, errs *FieldErrors) {
	if email == "" {
		errs.Add("/email", "is required")
	} else if !isEmail(email) {
		errs.Add("/email", "must be an email address of at most 254 bytes, such as ada@example.com")
	}
}

// unsafeInName is what makes a name look like another one, or take the text after it along: the bidirectional
// embeddings, overrides and isolates (Unicode Standard Annex #9, section 2). The marks of direction are good: they act on
// their neighbors only.
func unsafeInName(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// encodedWord is how an encoded-word (RFC 2047) begins. An atom may look like one, and there is software for mail that
// decodes it there, so that the mail goes to another address.
var encodedWord = regexp.MustCompile(`=\?[^?]*\?[^?]*\?`)

// isEmail accepts a plain address (RFC 5322 addr-spec with a dot-atom, RFC 6531 for
// other scripts): no display name, quoted local part, comment or address literal. It refuses two forms that RFC 5322 allows and
// that do harm further on: an encoded-word, and a hyphen at the beginning, which makes the address an option of programs
// that are told it by their arguments (Postfix refuses it too, see its allow_min_user).
func isEmail(s string) bool {
	if len(s) > MaxEmailBytes || strings.HasPrefix(s, "-") || encodedWord.MatchString(s) || strings.ContainsAny(s, "\"()<>[]\\,;:") || strings.ContainsFunc(s, unsafeInEmail) {
		return false
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Address != s || addr.Name != "" {
		return false
	}
	local, domain, _ := strings.Cut(s, "@")
	return len(local) <= 64 && isDomain(domain) // RFC 5321 section 4.5.3.1.1
}

// unsafeInEmail is what makes two emails look the same.
func unsafeInEmail(r rune) bool {
	return unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || isInvisible(r)
}

// isDomain accepts dot-separated labels of letters, digits and inner hyphens.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		}) {
			return false
		}
	}
	return true
}

func isPicture(s string) bool {
	if len(s) > MaxPictureBytes {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil &&
		!strings.ContainsFunc(s, unsafeInEmail)
}

func isLocale(s string) bool {
	if len(s) > MaxLocaleBytes || strings.Contains(s, "_") { // language.Parse takes CLDR's underscore; BCP 47 does not
		return false
	}
	_, err := language.Parse(s)
	return err == nil
}

func isZone(s string) bool {
	if len(s) > maxZoneBytes || !unicode.IsUpper(rune(s[0])) || s == "Local" { // machines have names of their own: localtime, posix/…; Local is LoadLocation's
		return false
	}
	_, err := time.LoadLocation(s)
	return err == nil
}
