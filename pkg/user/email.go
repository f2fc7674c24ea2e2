package user

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// TrimEmail removes the blanks around an email, which phone keyboards add.
func TrimEmail(email string) string { return strings.TrimSpace(email) }

// domains converts the domains of emails to A-labels and U-labels (UTS #46, nontransitional).
var domains = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.VerifyDNSLength(true))

// EmailKey returns the form in which emails are compared. Two emails are equal if their local parts have the same Fold and their domains
// have the same A-labels. The key contains U-labels and not A-labels, so that a search by the beginning of an email works.
func EmailKey(email string) string {
	email = TrimEmail(email)
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return Fold(email)
	}
	return Fold(email[:at]) + "@" + domainKey(email[at+1:])
}

func domainKey(domain string) string {
	ascii, err := domains.ToASCII(domain)
	if err != nil { // the text is not a domain, or only the beginning of a domain
		return Fold(domain)
	}
	key, err := domains.ToUnicode(ascii)
	if err != nil {
		return ascii
	}
	return key
}

// Fold returns the form in which names and local parts are compared: NFD, Unicode simple case folding, NFC. With simple folding, ß and ss
// remain different.
func Fold(s string) string {
	return norm.NFC.String(strings.Map(foldRune, norm.NFD.String(s)))
}

// foldRune returns the same character for all characters that differ only by case.
func foldRune(r rune) rune {
	if r < unicode.MaxASCII {
		return unicode.ToLower(r)
	}
	first := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	if first == r && unicode.SimpleFold(r) == r { // the character has no other case, such as the dotless i
		return r
	}
	return unicode.ToLower(unicode.ToUpper(first))
}

// checkEmail validates an email.
func checkEmail(email string, errs *FieldErrors) {
	if email == "" {
		errs.Add("/email", Required, "is required")
	} else if !isEmail(email) {
		errs.Add("/email", InvalidFormat,
			fmt.Sprintf("must be an email address of at most %d bytes, such as ada@example.com", MaxEmailBytes))
	}
}

// encodedWord matches the beginning of an encoded-word (RFC 2047). Some mail software decodes an encoded-word inside an address, and then
// sends the mail to another address.
var encodedWord = regexp.MustCompile(`=\?[^?]*\?[^?]*\?`)

// isEmail accepts a plain address: RFC 5322 addr-spec with a dot-atom, RFC 6531 for other scripts. It refuses display names, quoted local
// parts, comments and IP addresses. It also refuses two forms that RFC 5322 allows: an encoded-word, and a leading hyphen. Programs
// may take a leading hyphen for the beginning of an option (see allow_min_user of Postfix).
func isEmail(s string) bool {
	if len(s) > MaxEmailBytes || strings.HasPrefix(s, "-") || encodedWord.MatchString(s) ||
		strings.ContainsAny(s, "\"()<>[]\\,;:") || strings.ContainsFunc(s, unsafeInEmail) {
		return false
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Address != s || addr.Name != "" {
		return false
	}
	local, domain, _ := strings.Cut(s, "@")
	if len(local) > 64 || !isDomain(domain) { // RFC 5321 section 4.5.3.1.1
		return false
	}
	ascii, err := domains.ToASCII(domain)
	return err == nil && !endsInNumber(ascii)
}

// number matches a number as programs accept it in an IPv4 address.
var number = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

// endsInNumber reports whether a domain can be an IPv4 address, such as 127.0.0.1, 127.1 or 0x7f000001. No top-level domain is a number (URL
// Standard, "ends in a number checker").
func endsInNumber(domain string) bool {
	return number.MatchString(domain[strings.LastIndexByte(domain, '.')+1:])
}

// unsafeInEmail reports whether a character can make two emails look the same.
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
