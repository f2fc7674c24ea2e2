package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// conditions are the entity tags in If-Match and If-None-Match of a request (RFC 9110 section 13.1); nil without such a header.
type conditions struct{ ifMatch, ifNoneMatch []string }

func conditionsOf(r *http.Request) conditions {
	return conditions{entityTags(r.Header.Values("If-Match")), entityTags(r.Header.Values("If-None-Match"))}
}

// match reports whether If-Match is true for a resource with the tag current; "" means that there is no resource. The comparison is
// strong.
func (c conditions) match(current string) bool {
	return c.ifMatch == nil || current != "" && (slices.Contains(c.ifMatch, "*") || slices.Contains(c.ifMatch, current))
}

// notModified reports whether If-None-Match names the tag current, so that the condition is false. The comparison is weak.
func (c conditions) notModified(current string) bool {
	return current != "" && slices.ContainsFunc(c.ifNoneMatch, func(tag string) bool {
		return tag == "*" || strings.TrimPrefix(tag, "W/") == current
	})
}

// hold reports whether both conditions are true.
func (c conditions) hold(current string) bool { return c.match(current) && !c.notModified(current) }

func (c conditions) none() bool { return c.ifMatch == nil && c.ifNoneMatch == nil }

// user returns the precondition of a change of a user; nil without conditions.
func (c conditions) user() user.Precondition {
	if c.none() {
		return nil
	}
	return func(version int64) bool { return c.hold(etag(version)) }
}

// role returns the precondition of a change of a role; nil without conditions.
func (c conditions) role() user.RolePrecondition {
	if c.none() {
		return nil
	}
	return func(old *access.Role) bool {
		if old == nil {
			return c.hold("")
		}
		return c.hold(roleTag(*old))
	}
}

// entityTags splits header lines at commas. The service's own tags do not contain commas.
func entityTags(lines []string) []string {
	var tags []string
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}

// etag returns the entity tag of a version of a user.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// roleTag returns the entity tag of a role: a hash of its content, because a role does not have a version.
func roleTag(r access.Role) string {
	content, _ := json.Marshal(r) // never fails: strings and lists of strings
	return tagOf(content)
}

func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return strconv.Quote(hex.EncodeToString(sum[:16]))
}
