package user

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheDifferenceOfTwoStatesOfAnAccount(t *testing.T) {
	t.Parallel()
	full := User{
		Email: "a@example.com", EmailVerified: true, Roles: []string{"admin", "user"}, Status: Active, Version: 3,
		Profile: Profile{
			Name: "Ada", Picture: "https://x.example/", Locale: "en", Zoneinfo: "UTC", Metadata: json.RawMessage(`{"a":1,"b":[1.0]}`),
		},
	}
	bare := User{Email: "b@example.com", Roles: []string{}, Status: Disabled, Version: 4}
	all := []string{"email", "email_verified", "locale", "metadata", "name", "picture", "roles", "status", "zoneinfo"}
	metadata := func(text string) User {
		u := full
		u.Metadata = json.RawMessage(text)
		return u
	}
	metadataChanged := []string{"metadata"}
	had := func(text string) map[string]any { return map[string]any{"metadata": json.RawMessage(text)} }
	for name, c := range map[string]struct {
		old, new User
		changed  []string
		previous map[string]any
	}{
		"none": {full, full, nil, map[string]any{}},
		"all, to nothing": {full, bare, all, map[string]any{
			"email": "a@example.com", "email_verified": true, "locale": "en", "metadata": full.Metadata, "name": "Ada",
			"picture": "https://x.example/", "roles": []string{"admin", "user"}, "status": "active", "zoneinfo": "UTC",
		}},
		"all, from nothing": {bare, full, all, map[string]any{
			"email": "b@example.com", "email_verified": false, "roles": []string{}, "status": "disabled",
		}},
		"the case of an email": {
			User{Email: "A@example.com"},
			User{Email: "a@example.com"},
			[]string{"email"},
			map[string]any{"email": "A@example.com"},
		},
		"read-only members":           {User{Version: 1}, User{Version: 2, UpdatedAt: time.Now()}, nil, map[string]any{}},
		"the order within metadata":   {full, metadata(`{"b":[1.0],"a":1}`), nil, map[string]any{}},
		"an escaped character":        {metadata(`{"a":"é"}`), metadata(`{"a":"\u00e9"}`), nil, map[string]any{}},
		"the digits of a number":      {full, metadata(`{"a":1,"b":[1.00]}`), metadataChanged, had(string(full.Metadata))},
		"null and absent in metadata": {metadata(`{"a":null}`), metadata(`{}`), metadataChanged, had(`{"a":null}`)},
		"the order of a list":         {metadata(`{"a":[1,2]}`), metadata(`{"a":[2,1]}`), metadataChanged, had(`{"a":[1,2]}`)},
		"empty metadata, and none":    {User{Profile: Profile{Metadata: json.RawMessage(`{}`)}}, User{}, metadataChanged, had(`{}`)},
		"the digits of a large number": {
			metadata(`{"n":9007199254740993}`), metadata(`{"n":9007199254740992}`), metadataChanged, had(`{"n":9007199254740993}`),
		},
	} {
		changed, previous := diff(c.old, c.new)
		if diff := cmp.Diff(c.changed, changed); diff != "" {
			t.Errorf("%s: changed (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.previous, previous); diff != "" {
			t.Errorf("%s: previous (-want +got):\n%s", name, diff)
		}
	}
}

// TestEachFieldOfAProfileIsInADifference clears each field of ProfileFields in turn. diff must find the change.
func TestEachFieldOfAProfileIsInADifference(t *testing.T) {
	t.Parallel()
	for _, f := range ProfileFields {
		var u User
		switch value := f.In(&u.Profile).(type) {
		case *string:
			*value = "old"
		case *json.RawMessage:
			*value = json.RawMessage(`{"old":1}`)
		default:
			t.Fatalf("the field %s is a %T, want a *string or a *json.RawMessage", f.Name, value)
		}
		changed, previous := diff(u, User{})
		if diff := cmp.Diff([]string{f.Name}, changed); diff != "" || len(previous) != 1 || previous[f.Name] == nil {
			t.Errorf("%s: previous is %v, want its old value; changed (-want +got):\n%s", f.Name, previous, diff)
		}
		encoded, err := json.Marshal(u.Profile)
		if err != nil || !bytes.Contains(encoded, []byte(`{"`+f.Name+`":`)) {
			t.Errorf("the field %s is encoded as %s (%v), want the same name", f.Name, encoded, err)
		}
	}
}
