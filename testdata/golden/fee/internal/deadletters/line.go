// How a letter is written on a line, and read again.

package deadletters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// line is a letter as it is in the file. The id stands first: lineID counts on it.
type line struct {
	ID            string  `json:"id"`
	Time          string  `json:"time"`
	Transport     string  `json:"transport"`
	Key           string  `json:"key,omitempty"`
	KeyBase64     []byte  `json:"key_base64,omitempty"`
	Message       *string `json:"message,omitempty"`
	MessageBase64 []byte  `json:"message_base64,omitempty"`
	Reason        string  `json:"reason"`
	Attempts      int     `json:"attempts"`
}

// timeFormat is RFC 3339 with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON implements json.Marshaler: the letter as it is in the file.
func (l Letter) MarshalJSON() ([]byte, error) {
	out := line{
		ID: l.ID, Time: l.Time.UTC().Format(timeFormat),
		Transport: strings.ToValidUTF8(l.Transport, "\uFFFD"), Reason: strings.ToValidUTF8(l.Reason, "\uFFFD"),
		Attempts: l.Attempts,
	}
	if utf8.ValidString(l.Key) {
		out.Key = l.Key
	} else {
		out.KeyBase64 = []byte(l.Key)
	}
	if utf8.Valid(l.Message) {
		text := string(l.Message)
		out.Message = &text
	} else {
		out.MessageBase64 = l.Message
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it is for people
	if err := encoder.Encode(out); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Letter) UnmarshalJSON(text []byte) error {
	var in line
	if !utf8.Valid(text) {
		return errors.New("is not UTF-8")
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	failed, err := time.Parse(time.RFC3339, in.Time)
	if err != nil {
		return err
	}
	if _, ok := parseID(in.ID); !ok {
		return fmt.Errorf("%q is no id", in.ID)
	}
	if (in.Message == nil) == (in.MessageBase64 == nil) {
		return errors.New("has no message, or two")
	}
	*l = Letter{
		ID: in.ID, Time: failed.UTC(), Transport: in.Transport, Key: in.Key,
		Message: in.MessageBase64, Reason: in.Reason, Attempts: in.Attempts,
	}
	if in.Message != nil {
		l.Message = []byte(*in.Message)
	}
	if in.KeyBase64 != nil {
		l.Key = string(in.KeyBase64)
	}
	return nil
}

// encode returns the line of a letter, with its end.
func (l Letter) encode() ([]byte, error) {
	text, err := l.MarshalJSON()
	if err == nil && len(text) > maxLine {
		err = fmt.Errorf("a letter of %d bytes is too large to be kept", len(text))
	}
	return text, err
}

// decode reads a line; ok is false if it is none of a letter.
func decode(text []byte) (l Letter, ok bool) {
	err := l.UnmarshalJSON(text)
	return l, err == nil
}

var idPrefix = []byte(`{"id":"`)

// lineID returns the id of the letter on a line without reading all of it; ok is
// false for a line that does not begin like one.
func lineID(text []byte) (id string, ok bool) {
	rest, ok := bytes.CutPrefix(text, idPrefix)
	if !ok || len(rest) <= idLength || rest[idLength] != '"' {
		return "", false
	}
	id = string(rest[:idLength])
	_, ok = parseID(id)
	return id, ok
}
