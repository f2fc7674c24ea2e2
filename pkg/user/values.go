package user

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// zoneNames are the names of the IANA time zone database, including links. The names are a copy of those in Go's own database, so that
// the service accepts the same names on every machine. TestZonesAreThoseOfGo compares the copy with Go's database.
//
//go:embed zones.txt
var zoneNames string

var zones = sync.OnceValue(func() []string { return strings.Fields(zoneNames) }) // sorted

func isZone(s string) bool {
	_, found := slices.BinarySearch(zones(), s)
	return found
}

// httpsURI matches an absolute https URI (RFC 3986 section 3) without user information. The groups of the expression are the host and the
// port.
var httpsURI = func() *regexp.Regexp {
	const char = `[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}`
	return regexp.MustCompile(`^(?i:https)://(\[[0-9A-Fa-f:.]+\]|(?:` + char + `)+)(?::([0-9]*))?(?:/(?:` + char + `|[:@/])*)?` +
		`(?:\?(?:` + char + `|[:@/?])*)?(?:#(?:` + char + `|[:@/?])*)?$`)
}()

func isPicture(s string) bool {
	if len(s) > MaxPictureBytes {
		return false
	}
	parts := httpsURI.FindStringSubmatch(s)
	if parts == nil {
		return false
	}
	if host, isLiteral := strings.CutPrefix(parts[1], "["); isLiteral {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host, "]"))
		if err != nil || !addr.Is6() {
			return false
		}
	}
	port, err := strconv.Atoi(parts[2])
	return parts[2] == "" || err == nil && port <= 65535
}

// languageTag matches a BCP 47 language tag (RFC 5646 section 2.1). The group of the expression is the extensions.
var languageTag = regexp.MustCompile(`^(?i)(?:` +
	`(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4}|[a-z]{5,8})` + // language
	`(?:-[a-z]{4})?` + // script
	`(?:-(?:[a-z]{2}|[0-9]{3}))?` + // region
	`(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*` + // variants
	`((?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*)` + // extensions
	`(?:-x(?:-[a-z0-9]{1,8})+)?` + // private use
	`|x(?:-[a-z0-9]{1,8})+` +
	`|en-gb-oed|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)|sgn-(?:be-fr|be-nl|ch-de)` + // irregular
	`)$`)

// isLocale accepts well-formed tags (RFC 5646 section 2.2.9). Subtags may be unknown.
func isLocale(s string) bool {
	if len(s) > MaxLocaleBytes {
		return false
	}
	parts := languageTag.FindStringSubmatch(s)
	if parts == nil {
		return false
	}
	singletons := map[string]bool{}
	for subtag := range strings.SplitSeq(strings.ToLower(parts[1]), "-") {
		if len(subtag) == 1 && singletons[subtag] {
			return false
		}
		singletons[subtag] = true
	}
	return true
}

// hasDoubles reports whether all numbers of a JSON document fit into an IEEE 754 double. Many parsers in other languages can't represent
// other numbers.
func hasDoubles(document string) bool {
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return true // invalid JSON is refused elsewhere
		}
		if n, ok := token.(json.Number); ok {
			if _, err := n.Float64(); err != nil {
				return false
			}
		}
	}
}
