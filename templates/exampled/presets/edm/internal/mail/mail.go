// Package mail makes mails of messages, and sends them: to a folder, or to a server.
package mail

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A Mail is to be sent.
type Mail struct {
	ID   string   // of the message, the same when it is delivered again; file-safe
	From string   // the address for what can't be delivered
	To   []string // the addresses
	Text []byte   // header and body, as RFC 5322 has them; lines end in LF or CRLF
	Err  error    // why it is none; nil if it is one
}

// Defaults are of messages that say nothing else.
type Defaults struct{ From, To, Subject string }

// New makes a mail of a message. Key is what the transport calls the message, "" if it
// has no name for it. A message with a header that says To is a mail already, and stays
// as it is, but for what is missing, and for Bcc, which nobody is to see; any other is
// the text of one.
func New(message []byte, key string, defaults Defaults) Mail {
	m := Mail{ID: identity(key)}
	parsed, err := mail.ReadMessage(bytes.NewReader(message))
	if err == nil && parsed.Header.Get("To") != "" {
		m.complete(message, parsed.Header, defaults)
	} else {
		m.compose(message, defaults)
	}
	return m
}

// identity makes a name of a key, or one that is new.
func identity(key string) string {
	if key == "" {
		return strings.ToLower(rand.Text())
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// complete takes a message that has a header.
func (m *Mail) complete(message []byte, header mail.Header, defaults Defaults) {
	var missing []string
	from := header.Get("From")
	if from == "" {
		from = defaults.From
		missing = append(missing, "From: "+from)
	}
	m.Text, m.Err = message, m.address(from, slices.Concat(header["To"], header["Cc"], header["Bcc"])...)
	if m.Err != nil {
		return
	}
	if header.Get("Date") == "" {
		missing = append(missing, "Date: "+time.Now().Format(time.RFC1123Z))
	}
	if header.Get("Message-Id") == "" {
		missing = append(missing, "Message-ID: "+m.messageID())
	}
	if len(header["Bcc"]) > 0 {
		m.Text = withoutField(m.Text, "Bcc")
	}
	if len(missing) > 0 {
		end := lineEnd(m.Text)
		m.Text = slices.Concat([]byte(strings.Join(missing, end)+end), m.Text)
	}
}

// compose makes a header for a text.
func (m *Mail) compose(text []byte, defaults Defaults) {
	if m.Err = m.address(defaults.From, defaults.To); m.Err != nil {
		return
	}
	kind := "text/plain; charset=utf-8"
	if !utf8.Valid(text) {
		kind = "application/octet-stream"
	}
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"From", defaults.From},
		{"To", defaults.To},
		{"Subject", mime.QEncoding.Encode("utf-8", defaults.Subject)},
		{"Date", time.Now().Format(time.RFC1123Z)},
		{"Message-ID", m.messageID()},
		{"MIME-Version", "1.0"},
		{"Content-Type", kind},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\n", field[0], field[1])
	}
	b.WriteString("\n")
	w := quotedprintable.NewWriter(&b)
	w.Binary = kind == "application/octet-stream"
	_, _ = w.Write(text) // to a buffer
	_ = w.Close()
	m.Text = bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))
}

// address sets who the mail is from, and for whom.
func (m *Mail) address(from string, to ...string) error {
	senders, err := Addresses(from)
	if err != nil {
		return permanentError{fmt.Errorf("the sender: %w", err)}
	}
	m.From = senders[0]
	for _, list := range to {
		addresses, err := Addresses(list)
		if err != nil {
			return permanentError{fmt.Errorf("a recipient: %w", err)}
		}
		m.To = append(m.To, addresses...)
	}
	return nil
}

// messageID names the mail as its header does.
func (m *Mail) messageID() string {
	_, domain, _ := strings.Cut(m.From, "@")
	return "<" + m.ID + "@" + domain + ">"
}

// Addresses returns the addresses of a list, without names: at least one.
func Addresses(list string) ([]string, error) {
	parsed, err := mail.ParseAddressList(list)
	if err != nil {
		return nil, fmt.Errorf("%q is no list of addresses: %w", list, err)
	}
	var all []string
	for _, address := range parsed {
		all = append(all, address.Address)
	}
	return all, nil
}

// withoutField returns a mail without a field of its header, and the lines that
// continue it.
func withoutField(text []byte, name string) []byte {
	var out []byte
	header, skipping := true, false
	for line := range bytes.Lines(text) {
		if header {
			header = len(bytes.TrimRight(line, "\r\n")) > 0
			if field, _, _ := strings.Cut(string(line), ":"); line[0] != ' ' && line[0] != '\t' {
				skipping = strings.EqualFold(field, name)
			}
		} else {
			skipping = false
		}
		if !skipping {
			out = append(out, line...)
		}
	}
	return out
}

// lineEnd is what ends the lines of a text.
func lineEnd(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// permanentError is one that no further attempt can help.
type permanentError struct{ error }

func (permanentError) Permanent() bool { return true }
func (e permanentError) Unwrap() error { return e.error }

// unavailableError is one that no mail is to blame for.
type unavailableError struct{ error }

func (unavailableError) Unavailable() bool { return true }
func (e unavailableError) Unwrap() error   { return e.error }
