// Values that must not be seen.

package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is not for eyes, such as a password. Printed, logged or
// marshalled it shows only that there is one. Load never quotes it in a Problem.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a stand-in, or nothing where there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// Format implements fmt.Formatter: the same for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
