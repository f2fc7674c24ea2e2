package user

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the fields of an account.
const (
	MaxEmailBytes    = 254 // RFC 5321 section 4.5.3.1.3, without the angle brackets
	MaxNameLength    = 256 // characters
	MaxPictureBytes  = 2048
	MaxLocaleBytes   = 128
	MaxMetadataBytes = 8 << 10
)

// Profile has the fields in which users describe themselves. A field without a value is empty. ProfileFields has an entry for each field.
type Profile struct {
	Name     string          `json:"name,omitempty"`
	Picture  string          `json:"picture,omitempty"`  // an https URL
	Locale   string          `json:"locale,omitempty"`   // BCP 47
	Zoneinfo string          `json:"zoneinfo,omitempty"` // IANA time zone
	Metadata json.RawMessage `json:"metadata,omitempty"` // a compact JSON object for the application
}

// ProfileFields lists the fields of a profile. The code for requests, changes, events and imports uses this list.
var ProfileFields = []ProfileField{
	{"name", func(p *Profile) any { return &p.Name }, checkName},
	{"picture", func(p *Profile) any { return &p.Picture }, checkPicture},
	{"locale", func(p *Profile) any { return &p.Locale }, checkLocale},
	{"zoneinfo", func(p *Profile) any { return &p.Zoneinfo }, checkZoneinfo},
	{"metadata", func(p *Profile) any { return &p.Metadata }, checkMetadata},
}

// ProfileField is a field of a profile.
type ProfileField struct {
	Name string // in requests, responses, events and imports
	// In returns a pointer to the field of p: a *string, or a *json.RawMessage for a JSON object.
	In    func(p *Profile) any
	check func(pointer, value string, errs *FieldErrors) // adds the errors of a value that is not empty
}

// Pointer returns the RFC 6901 pointer of the field in a request.
func (f ProfileField) Pointer() string { return "/" + f.Name }

// text returns the value of the field as text, or an empty text without a value.
func (f ProfileField) text(p *Profile) string {
	if object, ok := f.In(p).(*json.RawMessage); ok {
		return string(*object)
	}
	return *f.In(p).(*string)
}

// check adds the errors of the profile.
func (p Profile) check(errs *FieldErrors) {
	for _, f := range ProfileFields {
		if value := f.text(&p); value != "" {
			f.check(f.Pointer(), value, errs)
		}
	}
}

func checkName(pointer, name string, errs *FieldErrors) {
	if utf8.RuneCountInString(name) > MaxNameLength {
		errs.Add(pointer, TooLong, fmt.Sprintf("must have at most %d characters", MaxNameLength), most(MaxNameLength))
	}
	checkVisible(pointer, name, errs)
}

func checkPicture(pointer, picture string, errs *FieldErrors) {
	if !isPicture(picture) {
		errs.Add(pointer, InvalidFormat, fmt.Sprintf("must be an absolute https URI (RFC 3986) of at most %d bytes", MaxPictureBytes))
	}
}

func checkLocale(pointer, locale string, errs *FieldErrors) {
	if !isLocale(locale) {
		errs.Add(pointer, InvalidFormat, "must be a BCP 47 language tag, such as en-US")
	}
}

func checkZoneinfo(pointer, zone string, errs *FieldErrors) {
	if !isZone(zone) {
		errs.Add(pointer, InvalidValue, "must be the name of an IANA time zone, such as Europe/Berlin")
	}
}

func checkMetadata(pointer, metadata string, errs *FieldErrors) {
	checkMetadataSize(pointer, metadata, MaxMetadataBytes, errs)
	if !hasDoubles(metadata) {
		errs.Add(pointer, OutOfRange, "must have no number beyond the range of an IEEE 754 double")
	}
}

func checkMetadataSize(pointer, metadata string, maxBytes int, errs *FieldErrors) {
	if len(metadata) > maxBytes {
		errs.Add(pointer, TooLarge, fmt.Sprintf("must be at most %d bytes of compact JSON", maxBytes), most(maxBytes))
	}
}

// unsafeInName reports whether a character makes a name look like another name, or changes the direction of the text after the
// name. Such characters are control characters, and bidirectional embeddings, overrides and isolates (Unicode Standard Annex #9,
// section 2). Directional marks are allowed, because they affect only their neighbors.
func unsafeInName(r rune) bool {
	return unicode.IsControl(r) || strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r)
}
