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

// conditions are those of a request: the tags of If-Match and If-None-Match (RFC 9110 section 13.1). Nil is no header.
type conditions struct{ ifMatch, ifNoneMatch []string }

func conditionsOf(r *http.Request) conditions {
	return conditions{entityTags(r.Header.Values("If-Match")), entityTags(r.Header.Values("If-None-Match"))}
}

// match reports whether If-Match lets the request be performed on what has this tag; "" does not exist. Tags are compared strongly.
func (c conditions) match(current string) bool {
	return c.ifMatch == nil || current != "" && (slices.Contains(c.ifMatch, "*") || slices.Contains(c.ifMatch, current))
}

// noneMatch reports the same of If-None-Match. Tags are compared weakly.
func (c conditions) noneMatch(current string) bool {
	return current == "" || !slices.ContainsFunc(c.ifNoneMatch, func(tag string) bool {
		return tag == "*" || strings.TrimPrefix(tag, "W/") == current
	})
}

func (c conditions) hold(current string) bool { return c.match(current) && c.noneMatch(current) }

func (c conditions) none() bool { return c.ifMatch == nil && c.ifNoneMatch == nil }

// user returns the conditions for a change of a user.
func (c conditions) user() user.Precondition {
	if c.none() {
		return nil
	}
	return func(version int64) bool { return c.hold(etag(version)) }
}

// role returns the conditions for a change of a role.
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

// entityTags splits header lines at commas; the service's own tags have none inside.
func entityTags(lines []string) []string {
	var tags []string
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}

// etag returns the tag of a version of a user.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// roleTag returns the tag of a role, which has no version: it is made of its content.
func roleTag(r access.Role) string {
	content, _ := json.Marshal(r) // strings and lists of strings
	return tagOf(content)
}

func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return strconv.Quote(hex.EncodeToString(sum[:16]))
}
