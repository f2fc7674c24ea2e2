package api_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"user-service/api"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/user"
)

// asyncAPI is the part of asyncapi.yaml that these tests read.
type asyncAPI struct {
	DefaultContentType string `yaml:"defaultContentType"`
	Channels           map[string]struct{ Address string }
	Operations         map[string]struct {
		Action  string
		Channel struct {
			Ref string `yaml:"$ref"`
		}
	}
	Components struct {
		ChannelBindings map[string]struct {
			AMQP struct {
				Exchange struct {
					Name, Type string
					Durable    bool
				}
			}
		} `yaml:"channelBindings"`
		Messages map[string]struct {
			Name, ContentType string
			Payload           struct {
				Ref string `yaml:"$ref"`
			}
			Examples []struct {
				Name    string
				Payload any
			}
		}
	}
}

func readAsyncAPI(t *testing.T) asyncAPI {
	t.Helper()
	var doc asyncAPI
	if err := yaml.Unmarshal(api.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// eventSchemas returns the schema of each type of event. The schemas can refer to both descriptions, because events contain
// users.
func eventSchemas(t *testing.T, doc asyncAPI) map[string]*jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	const base = "https://contract.test/"
	for name, raw := range map[string][]byte{"asyncapi.yaml": api.AsyncAPI(), "openapi.yaml": api.OpenAPI()} {
		if err := compiler.AddResource(base+name, fromYAML(t, raw)); err != nil {
			t.Fatal(err)
		}
	}
	schemas := map[string]*jsonschema.Schema{}
	for _, message := range doc.Components.Messages {
		schema, err := compiler.Compile(base + "asyncapi.yaml" + message.Payload.Ref)
		if err != nil {
			t.Fatal(err)
		}
		schemas[message.Name] = schema
	}
	return schemas
}

// fromYAML parses YAML into the types of package jsonschema.
func fromYAML(t *testing.T, raw []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	return asJSON(t, value)
}

func asJSON(t *testing.T, value any) any {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAsyncAPIDescribesEveryType(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	var want []string
	for _, typ := range event.Types() {
		want = append(want, string(typ))
	}
	slices.Sort(want)
	var addresses, sent, messages []string
	for _, channel := range doc.Channels {
		addresses = append(addresses, channel.Address)
	}
	for name, operation := range doc.Operations {
		channel := doc.Channels[operation.Channel.Ref[len("#/channels/"):]]
		sent = append(sent, channel.Address)
		if operation.Action != "send" {
			t.Errorf("%s has the action %s", name, operation.Action)
		}
	}
	for name, message := range doc.Components.Messages {
		messages = append(messages, message.Name)
		if len(message.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
	}
	for what, got := range map[string][]string{"channels": addresses, "operations": sent, "messages": messages} {
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the code (-) and the %s (+) differ:\n%s", what, diff)
		}
	}
}

func TestAsyncAPINamesTheExchange(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	exchange := doc.Components.ChannelBindings["Exchange"].AMQP.Exchange
	if exchange.Name != rabbitmq.Exchange || exchange.Type != "topic" || !exchange.Durable {
		t.Errorf("the exchange is %+v", exchange)
	}
	if doc.DefaultContentType != event.ContentType {
		t.Errorf("the content type is %q, the code's %q", doc.DefaultContentType, event.ContentType)
	}
}

// TestEventSchemasAreForGenerators requires one flat schema with a title for each event, and a title for its data. Modelina makes a wrong
// type of an event that is composed of several schemas, and names a schema without a title by a number.
func TestEventSchemasAreForGenerators(t *testing.T) {
	t.Parallel()
	var doc struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := yaml.Unmarshal(api.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, message := range readAsyncAPI(t).Components.Messages {
		name := strings.TrimPrefix(message.Payload.Ref, "#/components/schemas/")
		schema := doc.Components.Schemas[name]
		if schema["title"] != name || schema["type"] != "object" || schema["allOf"] != nil {
			t.Errorf("%s has the title %v and the type %v, want a flat object with its name as the title", name,
				schema["title"], schema["type"])
		}
		properties, _ := schema["properties"].(map[string]any)
		data, _ := properties["data"].(map[string]any)
		if ref, ok := data["$ref"].(string); ok {
			data = doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		}
		if data["title"] == nil || data["allOf"] != nil {
			t.Errorf("the data of %s is %v, want a flat object with a title", name, data)
		}
		if typ, _ := properties["type"].(map[string]any); typ["const"] != message.Name || typ["type"] != "string" {
			t.Errorf("the type of %s is %v, want the constant %s", name, typ, message.Name)
		}
	}
}

func TestAsyncAPIExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	schemas := eventSchemas(t, doc)
	for _, message := range doc.Components.Messages {
		for _, example := range message.Examples {
			if err := schemas[message.Name].Validate(asJSON(t, example.Payload)); err != nil {
				t.Errorf("%s, example %s: %v", message.Name, example.Name, err)
			}
		}
	}
}

// TestEventsFitTheirSchemas creates an event of each type as the service does.
func TestEventsFitTheirSchemas(t *testing.T) {
	t.Parallel()
	schemas := eventSchemas(t, readAsyncAPI(t))
	now := time.Now()
	u := user.User{
		ID: uuid.Must(uuid.NewV7()), Email: "ünï@example.com", Roles: []string{"admin", "user"}, Status: user.Disabled, Version: 7,
		CreatedAt: now.UTC(), UpdatedAt: now.UTC(),
		Profile: user.Profile{
			Name: "Ünï", Picture: "https://example.com/u.png", Locale: "de", Zoneinfo: "Europe/Berlin",
			Metadata: json.RawMessage(`{"n":1}`),
		},
	}
	everything := map[string]any{
		"email": "a@example.com", "email_verified": true, "locale": "fr", "metadata": json.RawMessage(`{}`), "name": "A",
		"picture": "https://example.com/a.png", "roles": []string{}, "status": user.Active, "zoneinfo": "UTC",
	}
	issued := event.TokenIssued{User: u, Token: strings.Repeat("aZ0_-", 9)[:43], ExpiresAt: now.UTC()}
	changed := event.Factor{
		ID: u.ID, Factor: event.FactorItem{ID: uuid.Must(uuid.NewV7()), Type: "totp", Name: "Phone"}, By: u.ID.String(),
	}
	data := map[event.Type]any{
		event.UserCreated: event.Created{User: u},
		event.UserUpdated: event.Updated{User: u, Changed: slices.Sorted(maps.Keys(everything)), Previous: everything},
		event.UserDeleted: event.Subject{ID: u.ID},

		event.LoggedIn:        event.Session{ID: u.ID, SessionID: uuid.Must(uuid.NewV7())},
		event.LockedOut:       event.LockOut{ID: u.ID, Until: now.UTC()},
		event.PasswordChanged: event.Subject{ID: u.ID},
		event.FactorAdded:     changed,
		event.FactorRemoved:   changed,

		event.PasswordResetRequested:     issued,
		event.EmailVerificationRequested: issued,
		event.InvitationRequested:        issued,

		event.Snapshot: event.Created{User: u},
	}
	for _, typ := range event.Types() {
		data, ok := data[typ]
		if !ok {
			t.Errorf("this test creates no %s", typ)
			continue
		}
		e, err := event.New(typ, u.ID, u.Version, now, data)
		if err != nil {
			t.Fatal(err)
		}
		e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		raw, err := e.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas[string(typ)].Validate(asJSON(t, json.RawMessage(raw))); err != nil {
			t.Errorf("%s does not fit its schema: %v\n%s", typ, err, raw)
		}
		for other, schema := range schemas {
			if other != string(typ) && schema.Validate(asJSON(t, json.RawMessage(raw))) == nil {
				t.Errorf("%s fits the schema of %s", typ, other)
			}
		}
	}
}
