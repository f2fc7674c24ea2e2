package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"user-service/api"
)

const eventsHead = `# Events

<!-- Generated from api/asyncapi.yaml by: go run ./tools/reference . -->

The guide ` + "`docs/consumers.md`" + ` explains how to consume the events.

`

// eventsPage writes docs/events.md.
type eventsPage struct {
	contract

	text    strings.Builder
	objects []string        // the names of the objects to describe, in the order of their first use
	schemas map[string]node // by these names
}

// eventsMarkdown returns a page that describes every event. Errors: a contract is not valid YAML, or an example is not valid.
func eventsMarkdown(asyncAPI, openAPI []byte) ([]byte, error) {
	page := &eventsPage{schemas: map[string]node{}}
	var err error
	if page.asyncAPI, err = document(asyncAPI); err != nil {
		return nil, err
	}
	if page.openAPI, err = document(openAPI); err != nil {
		return nil, err
	}
	page.text.WriteString(eventsHead)
	page.text.WriteString(strings.TrimSpace(page.asyncAPI.at("info", "description").Value) + "\n\n")
	page.overview()
	page.envelope()
	for _, channel := range page.asyncAPI.at("channels").members() {
		if err := page.event(channel.name, channel.value); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(page.objects); i++ { // the description of an object may add others
		name := page.objects[i]
		page.printf("## %s\n\n%s\n\n", name, page.schemas[name].at("description").text())
		page.table(page.fields(page.schemas[name]))
	}
	return []byte(strings.TrimSpace(page.text.String()) + "\n"), nil
}

func (p *eventsPage) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// overview lists the events.
func (p *eventsPage) overview() {
	p.printf("## All events\n\n| Event | |\n| --- | --- |\n")
	for _, channel := range p.asyncAPI.at("channels").members() {
		address := channel.value.at("address").text()
		p.printf("| [`%s`](#%s) | %s |\n", address, anchor(address), p.message(channel.value).at("title").text())
	}
	p.printf("\n")
}

// envelope describes the attributes of every event, from the first one.
func (p *eventsPage) envelope() {
	first := p.asyncAPI.at("channels").members()[0].value
	var common []field
	for _, f := range p.fields(p.message(first).at("payload")) {
		switch f.name {
		case "data": // which each event describes
		case "type": // which is a constant of the event
			common = append(common, field{f.name, p.typeAttribute(), f.required})
		default:
			common = append(common, f)
		}
	}
	p.printf("## Attributes\n\nEvery event has these attributes of CloudEvents:\n\n")
	p.table(common)
	headers, _ := p.resolve(p.message(first).at("headers"))
	p.printf("AMQP headers:\n\n")
	p.table(p.fields(headers))
}

// typeAttribute returns the schema of the attribute type.
func (p *eventsPage) typeAttribute() node {
	common := p.asyncAPI.at("components", "schemas", "Envelope", "properties", "type")
	if common.Node == nil {
		common, _ = document([]byte(`{type: string, description: "The type of the event, which is also the routing key."}`))
	}
	return common
}

// message returns the only message of a channel.
func (p *eventsPage) message(channel node) node {
	message, _ := p.resolve(channel.at("messages").members()[0].value)
	return message
}

// event describes one event.
func (p *eventsPage) event(name string, channel node) error {
	message := p.message(channel)
	p.printf("## `%s`\n\n**%s.** %s\n\n", channel.at("address").text(), message.at("title").text(), message.at("summary").text())
	p.printf("%s\n\n", p.purpose(name))
	for _, f := range p.fields(message.at("payload")) {
		if f.name == "data" {
			p.printf("Fields of `data`:\n\n")
			p.table(p.fields(f.schema))
		}
	}
	for _, example := range message.at("examples").items() {
		text, err := indented(example.at("payload"))
		if err != nil {
			return fmt.Errorf("write an example of %s: %w", name, err)
		}
		p.printf("Example: %s.\n\n```json\n%s\n```\n\n", example.at("summary").text(), text)
	}
	return nil
}

// indented returns a value as JSON, in the order of the contract.
func indented(value node) ([]byte, error) {
	raw, err := yaml.Marshal(value.Node)
	if err != nil {
		return nil, err
	}
	compact, err := api.ToJSON(raw)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, compact, "", "  ")
	return bytes.TrimSpace(out.Bytes()), err
}

// purpose returns the description of the operation that publishes to a channel.
func (p *eventsPage) purpose(channel string) string {
	for _, op := range p.asyncAPI.at("operations").members() {
		if op.value.at("channel", "$ref").text() == "#/channels/"+channel {
			return op.value.at("description").text()
		}
	}
	return ""
}

// table describes the fields of an object.
func (p *eventsPage) table(fields []field) {
	p.printf("| Field | Type | |\n| --- | --- | --- |\n")
	for _, f := range fields {
		schema, _ := p.resolve(f.schema)
		about := schema.at("description").text()
		if !f.required {
			about = strings.TrimSpace("Optional. " + about)
		}
		p.printf("| `%s` | %s | %s |\n", f.name, p.typeOf(f.schema), strings.ReplaceAll(about, "|", `\|`))
	}
	p.printf("\n")
}

// typeOf returns the type of a value as Markdown. An object with a name is described in its own section.
func (p *eventsPage) typeOf(schema node) string {
	resolved, name := p.resolve(schema)
	if resolved.at("properties").Node != nil && name != "" {
		if !slices.Contains(p.objects, name) {
			p.objects = append(p.objects, name)
			p.schemas[name] = resolved
		}
		return fmt.Sprintf("[%s](#%s)", name, anchor(name))
	}
	if value := resolved.at("const").text(); value != "" {
		return "`" + value + "`"
	}
	if values := resolved.at("enum").items(); len(values) > 0 {
		var all []string
		for _, v := range values {
			all = append(all, "`"+v.text()+"`")
		}
		return strings.Join(all, ", ")
	}
	if items := resolved.at("items"); items.Node != nil {
		return "array of " + p.typeOf(items)
	}
	if format := resolved.at("format").text(); format != "" {
		return resolved.at("type").text() + " (" + format + ")"
	}
	return resolved.at("type").text()
}

// anchor returns the fragment of a heading, as GitHub defines it.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		default:
			return -1
		}
	}, heading)
}
