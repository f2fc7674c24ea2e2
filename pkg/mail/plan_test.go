package mail_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/mail"
)

var (
	eventID   = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")
	accountID = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	noon      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	later     = noon.Add(time.Hour)
)

// cloudEvent returns the message of an event, which is a CloudEvent in JSON.
func cloudEvent(t testing.TB, typ, data string) []byte {
	t.Helper()
	body, err := event.Event{ID: eventID, Type: event.Type(typ), Subject: accountID, Time: noon, Data: []byte(data)}.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// token is the data of an event with a token.
const token = `{"user":{"email":"ada@example.com","name":"Buy now","created_at":"2026-02-03T04:05:06Z"},
	"token":"t0ken-_","expires_at":"2026-03-01T13:00:00Z"}`

// planned returns the mail that ForEvent returns for cloudEvent. change sets the fields that depend on the data of the event.
func planned(kind mail.Kind, change func(*mail.Mail)) mail.Mail {
	m := mail.Mail{Event: eventID, Account: accountID, Kind: kind, At: noon}
	change(&m)
	return m
}

func TestTheMailOfAnEvent(t *testing.T) {
	t.Parallel()
	withToken := func(m *mail.Mail) { m.To, m.Token, m.Expires = "ada@example.com", "t0ken-_", later }
	unchanged := func(*mail.Mail) {}
	for _, test := range []struct {
		typ, data string
		want      mail.Mail
	}{
		{"user.email_verification_requested", token, planned(mail.EmailVerification, withToken)},
		{"user.password_reset_requested", token, planned(mail.PasswordReset, withToken)},
		{"user.invitation_requested", token, planned(mail.Invitation, withToken)},
		{"user.password_changed", `{"id":"01890a5d-ac96-774b-bcce-b302099a8057"}`, planned(mail.PasswordChanged, unchanged)},
		{
			"user.updated", `{"user":{"email":"new@example.com","email_verified":false},"changed":["email","email_verified"],
				"previous":{"email":"old@example.com","email_verified":true}}`,
			planned(mail.EmailChanged, func(m *mail.Mail) { m.To, m.Former = "old@example.com", true }),
		},
		{
			"user.updated", `{"user":{"email":"new@example.com"},"changed":["email"],"previous":{"email":"old@example.com"}}`,
			planned(mail.EmailChanged, func(m *mail.Mail) { m.To = "old@example.com" }),
		},
		{
			"user.factor_added",
			`{"id":"x","factor":{"id":"y","type":"totp","name":"My phone"},"by":"01890a5d-ac96-774b-bcce-b302099a8057"}`,
			planned(mail.FactorAdded, func(m *mail.Mail) { m.Factor = "totp" }),
		},
		{
			"user.factor_removed", `{"factor":{"type":"passkey"},"by":"01890a5d-ac96-774b-bcce-b302099a9999"}`,
			planned(mail.FactorRemoved, func(m *mail.Mail) { m.Factor, m.ByAdmin = "passkey", true }),
		},
		{
			"user.factor_removed", `{"factor":{"type":"passkey"},"by":"cli"}`,
			planned(mail.FactorRemoved, func(m *mail.Mail) { m.Factor, m.ByAdmin = "passkey", true }),
		},
		{"user.factor_removed", `{"factor":{"type":"totp"}}`, planned(mail.FactorRemoved, func(m *mail.Mail) { m.Factor = "totp" })},
	} {
		body := cloudEvent(t, test.typ, test.data)
		for _, body := range [][]byte{body, mail.Reduce(body), mail.Reduce(mail.Reduce(body))} {
			got, needed, err := mail.ForEvent(body)
			if err != nil || !needed {
				t.Errorf("%s: needed %t, %v", body, needed, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", body, diff)
			}
		}
	}
}

// TestAReducedEventHasOnlyWhatAMailNeeds checks that Reduce removes the members that no mail needs. They are personal data, and would stay
// stored with a parked event.
func TestAReducedEventHasOnlyWhatAMailNeeds(t *testing.T) {
	t.Parallel()
	full := `{"user":{"id":"x","email":"ada@example.com","email_verified":false,"name":"Ada","metadata":{"a":"b"},"locale":"de"},
		"token":"t","expires_at":"2026-03-01T13:00:00Z","changed":["email","name"],"previous":{"email":"old@example.com","name":"Eve"},
		"factor":{"id":"y","type":"totp","name":"My phone"},"by":"cli","more":7}`
	const envelope = `"id":"01890a5d-ac96-774b-bcce-b302099a8058","type":"user.updated","subject":"01890a5d-ac96-774b-bcce-b302099a8057",` +
		`"time":"2026-03-01T12:00:00Z"`
	for data, want := range map[string]string{
		full: `{` + envelope + `,"data":{"user":{"email":"ada@example.com","email_verified":false},"token":"t",` +
			`"expires_at":"2026-03-01T13:00:00Z","changed":["email","name"],"previous":{"email":"old@example.com"},` +
			`"factor":{"type":"totp"},"by":"cli"}}`,
		`"secret"`:          `{` + envelope + `}`,
		`{"user":"secret"}`: `{` + envelope + `}`,
	} {
		if got := string(mail.Reduce(cloudEvent(t, "user.updated", data))); got != want {
			t.Errorf("%s becomes\n%s, want\n%s", data, got, want)
		}
	}
	if got := string(mail.Reduce([]byte("no event"))); got != "no event" {
		t.Errorf("another message becomes %s", got)
	}
}

func TestOtherEventsNeedNoMail(t *testing.T) {
	t.Parallel()
	for typ, data := range map[string]string{
		"user.created":   `{"user":{"email":"ada@example.com"}}`,
		"user.logged_in": `{}`,
		"order.created":  `7`,
		"user.updated":   `{"user":{"email":"ada@example.com","name":"b"},"changed":["name"],"previous":{"name":"a"}}`,
		"user.updated ":  `{}`,
	} {
		if m, needed, err := mail.ForEvent(cloudEvent(t, typ, data)); err != nil || needed {
			t.Errorf("%s: %+v, %v", typ, m, err)
		}
	}
	slashInside := strings.Replace(token, "ada@", "C=de/|b=secret@", 1) // as gateways to X.400 write it
	if m, needed, err := mail.ForEvent(cloudEvent(t, "user.password_reset_requested", slashInside)); err != nil || !needed {
		t.Errorf("a slash inside of an address: %+v, %v", m, err)
	}
	sameMailbox := `{"user":{"email":"Ada@Example.com"},"changed":["email"],"previous":{"email":"ada@example.com"}}`
	if m, needed, err := mail.ForEvent(cloudEvent(t, "user.updated", sameMailbox)); err != nil || needed {
		t.Errorf("another case of the letters: %+v, %v", m, err)
	}
}

// TestUnreadableEvents checks that the error contains no part of the message, because the error is logged.
func TestUnreadableEvents(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "secret", `{"id":"secret"}`, `{"id":"01890a5d-ac96-774b-bcce-b302099a8058","type":"user.updated"}`,
		string(cloudEvent(t, "user.password_reset_requested", `"secret"`)),
		string(cloudEvent(t, "user.password_reset_requested", `{"user":{"email":"ada@example.com"},"token":"secret"}`)),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, `"t0ken-_"`, `""`, 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", "a@b.c,secret@", 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", "secret%other.example@", 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", "other.example!secret@", 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", "|secret@", 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", "/secret@", 1))),
		string(cloudEvent(t, "user.password_reset_requested", strings.Replace(token, "ada@", `Ada\r\nBcc: secret@`, 1))),
		string(cloudEvent(t, "user.updated", `{"user":{"email":"a@b.c"},"changed":["email"],"previous":{"email":"secret"}}`)),
		string(cloudEvent(t, "user.updated", `{"changed":["email"],"previous":{"email":7}}`)),
		string(cloudEvent(t, "user.factor_added", `{"factor":"secret"}`)),
	} {
		m, _, err := mail.ForEvent([]byte(body))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", body, m, err)
		}
	}
}

// TestEveryTypeOfEventHasAKind compares the binding keys with the mails.
func TestEveryTypeOfEventHasAKind(t *testing.T) {
	t.Parallel()
	found := map[mail.Kind]bool{}
	types := slices.Concat(mail.UrgentTypes(), mail.OtherTypes())
	for _, typ := range types {
		m, _, err := mail.ForEvent(fmt.Appendf(nil, `{"id":%q,"subject":%q,"type":%q,"data":%s}`, eventID, accountID, typ,
			`{"user":{"email":"a@b.c"},"token":"t","expires_at":"2026-03-01T13:00:00Z"}`))
		if err != nil || m.Kind == "" {
			t.Errorf("%s: %+v, %v", typ, m, err)
		}
		found[m.Kind] = true
	}
	if len(found) != len(mail.Kinds()) || len(found) != len(types) {
		t.Errorf("%d kinds and %d types of events, want %d", len(found), len(types), len(mail.Kinds()))
	}
}
