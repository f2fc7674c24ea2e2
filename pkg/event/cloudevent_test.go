package event_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/event"
)

var subject = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")

func TestAnEventIsACloudEvent(t *testing.T) {
	t.Parallel()
	e := event.Event{
		ID:          uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058"),
		Type:        event.UserUpdated,
		Subject:     subject,
		UserVersion: 42,
		// The encoded event must have this time in UTC, with microseconds.
		Time:        time.Date(2026, 3, 1, 22, 15, 0, 123456000, time.FixedZone("", -3*3600)),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data:        json.RawMessage(`{"user":{"name":"Ada <&> \"é\""},"changed":["name"],"previous":{}}`),
	}
	want := `{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8058","source":"/user-service","type":"user.updated",` +
		`"subject":"01890a5d-ac96-774b-bcce-b302099a8057","time":"2026-03-02T01:15:00.123456Z","datacontenttype":"application/json",` +
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","userversion":42,` +
		`"data":{"user":{"name":"Ada \u003c\u0026\u003e \"é\""},"changed":["name"],"previous":{}}}`
	if diff := cmp.Diff(want, encode(t, e)); diff != "" {
		t.Error(diff)
	}
	e.Traceparent = ""
	if got := encode(t, e); strings.Contains(got, "traceparent") {
		t.Errorf("without a trace: %s", got)
	}
}

func encode(t *testing.T, e event.Event) string {
	t.Helper()
	body, err := e.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestDataIsEncodedUnchanged(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"n":1.10,"e":1E+2,"big":123456789012345678901234567890,"zero":-0.0}`,
		`{"b":1,"a":2,"":null}`,
		`{"text":"caf\u00e9 \/ 🔑 \ud83d\udd11"}`,
	} {
		e, err := event.New(event.UserCreated, subject, 1, time.Now(), json.RawMessage(data))
		if err != nil {
			t.Fatal(err)
		}
		if got := encode(t, e); !strings.HasSuffix(got, `"data":`+data+"}") {
			t.Errorf("%s is encoded as %s", data, got)
		}
	}
}

func TestDataThatIsNotJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, data := range []any{json.RawMessage(`{"a":`), math.NaN(), func() {}} {
		if e, err := event.New(event.UserCreated, subject, 1, time.Now(), data); err == nil {
			t.Errorf("%v is encoded as %+v, want an error", data, e)
		}
	}
	if body, err := (event.Event{Data: json.RawMessage(`{} {}`)}).CloudEvent(); err == nil {
		t.Errorf("two values are encoded as %s, want an error", body)
	}
}

func TestEventIDsAreNewAndInOrder(t *testing.T) {
	t.Parallel()
	ids := make([]string, 10_000)
	for i := range ids {
		e, err := event.New(event.UserDeleted, subject, 1, time.Now(), event.Subject{ID: subject})
		if err != nil {
			t.Fatal(err)
		}
		if e.ID.Version() != 7 || e.ID.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is not a UUIDv7", e.ID)
		}
		ids[i] = e.ID.String()
	}
	if !slices.IsSorted(ids) {
		t.Error("the ids are not sorted by time")
	}
	if n := len(slices.Compact(ids)); n != 10_000 {
		t.Errorf("10000 events have %d different ids, want 10000", n)
	}
}

func TestADeletionContainsOnlyTheID(t *testing.T) {
	t.Parallel()
	e, err := event.New(event.UserDeleted, subject, 9, time.Now(), event.Subject{ID: subject})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(e.Data); got != `{"id":"`+subject.String()+`"}` {
		t.Error(got)
	}
}
