package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that stays hidden, whatever prints, logs or encodes it. Only Reveal
// gives it away.
type Secret string

// hidden is what is shown of a secret, whatever its length.
const hidden = "[hidden]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "[hidden]", or nothing if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format implements fmt.Formatter for all verbs. Without it fmt shows the value behind a
// verb that does not fit strings, such as %d.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, by which JSON, XML and YAML encode it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
