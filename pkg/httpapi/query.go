package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

const (
	defaultLimit   = 20
	maxLimit       = 100
	maxQueryLength = 320 // bytes of one value: longer than any email
)

// readFilter parses the query of the list of users. It ignores unknown parameters. Errors: invalidParameter.
func readFilter(rawQuery string) (user.Filter, error) {
	query, err := readQuery(rawQuery, "limit", "cursor", "email", "q", "role", "status")
	if err != nil {
		return user.Filter{}, err
	}
	f := user.Filter{
		Email: query.Get("email"), Prefix: query.Get("q"), Role: query.Get("role"), Status: user.Status(query.Get("status")),
	}
	if f.Status != "" && !f.Status.Valid() {
		return user.Filter{}, errParameter("status must be active or disabled.")
	}
	if f.Limit, err = readLimit(query); err != nil {
		return user.Filter{}, err
	}
	f.After, err = decodeCursor(query.Get("cursor"))
	return f, err
}

// readQuery parses a query. Each of the named parameters may occur once, and only cursor may be empty. Errors: invalidParameter.
func readQuery(raw string, names ...string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errParameter("The query can't be parsed.")
	}
	for _, name := range names {
		if err := checkParameter(name, query[name]); err != nil {
			return nil, err
		}
	}
	return query, nil
}

func checkParameter(name string, values []string) error {
	if len(values) > 1 {
		return errParameter(fmt.Sprintf("%s must not occur twice.", name))
	}
	for _, v := range values {
		if len(v) > maxQueryLength || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return errParameter(fmt.Sprintf("%s must be UTF-8 without NUL, of at most %d bytes.", name, maxQueryLength))
		}
		if v == "" && name != "cursor" { // probably an unset variable of a script
			return errParameter(name + " must not be empty; leave it out.")
		}
	}
	return nil
}

func readLimit(query url.Values) (int, error) {
	if !query.Has("limit") {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, errParameter(fmt.Sprintf("limit must be from 1 to %d.", maxLimit))
	}
	return limit, nil
}

// encodeCursor returns the cursor of the page after the item with the id last.
func encodeCursor(last uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(last[:]) }

// decodeCursor parses a cursor. An empty cursor means the first page. Errors: invalidParameter.
func decodeCursor(cursor string) (uuid.UUID, error) {
	if cursor == "" {
		return uuid.Nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != len(uuid.Nil) || encodeCursor(uuid.UUID(raw)) != cursor {
		return uuid.Nil, errParameter("cursor must be the next_cursor of a page.")
	}
	return uuid.UUID(raw), nil
}
