package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a secret value. When it is printed, logged or encoded, hidden appears in its place. Only Reveal returns the value.
type Secret string

// hidden appears in the place of a secret.
const hidden = "[hidden]"

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// String returns "[hidden]", or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format implements fmt.Formatter. Without this method, fmt would print the value for verbs that are invalid for strings, such as %d.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, which the encoders of JSON, XML and YAML use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
