package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// ContentType is the media type of the documents that CloudEvent returns (CloudEvents JSON event format 1.0, section 3).
const ContentType = "application/cloudevents+json"

// Source is the CloudEvents source of all events.
const Source = "/user-service"

// envelope is a CloudEvent in structured mode. It has the extension for distributed tracing (traceparent) and the extension userversion.
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            Type            `json:"type"`
	Subject         string          `json:"subject"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Traceparent     string          `json:"traceparent,omitempty"`
	UserVersion     int64           `json:"userversion"`
	Data            json.RawMessage `json:"data"`
}

// CloudEvent returns the event as a CloudEvents 1.0 JSON document in structured mode.
func (e Event) CloudEvent() ([]byte, error) {
	body, err := json.Marshal(envelope{
		SpecVersion:     "1.0",
		ID:              e.ID.String(),
		Source:          Source,
		Type:            e.Type,
		Subject:         e.Subject.String(),
		Time:            e.Time.UTC(),
		DataContentType: "application/json",
		Traceparent:     e.Traceparent,
		UserVersion:     e.UserVersion,
		Data:            e.Data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode event %s as a CloudEvent: %w", e.ID, err)
	}
	return body, nil
}
