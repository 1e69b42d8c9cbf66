package mail

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
)

var defaults = Defaults{From: "Edm <edm@example.com>", To: "all@example.com, me@example.com", Subject: "Grüße"}

// A text gets a header, and is what it was when it is read.
func TestCompose(t *testing.T) {
	for _, text := range []string{"", "hello\n", "a line\nand ümläuts = all\n.\n", strings.Repeat("long ", 1000), "\x00\xff\r\n\x80", "not: a header"} {
		m := New([]byte(text), "", defaults)
		if m.Err != nil || m.From != "edm@example.com" || !slices.Equal(m.To, []string{"all@example.com", "me@example.com"}) {
			t.Errorf("%q: %+v", text, m)
		}
		read, err := mail.ReadMessage(bytes.NewReader(m.Text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if subject != defaults.Subject || err != nil {
			t.Errorf("the subject is %q, %v", subject, err)
		}
		if when, err := read.Header.Date(); err != nil || time.Since(when).Abs() > time.Minute {
			t.Errorf("the date is %s, %v", when, err)
		}
		if id := read.Header.Get("Message-Id"); id != "<"+m.ID+"@example.com>" {
			t.Errorf("the id is %q", id)
		}
		if to, err := read.Header.AddressList("To"); len(to) != 2 || err != nil {
			t.Errorf("it is to %v, %v", to, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(read.Body))
		if string(body) != text || err != nil {
			t.Errorf("the body is %q, %v, want %q", body, err, text)
		}
		if i := slices.IndexFunc(bytes.Split(m.Text, []byte("\n")), func(line []byte) bool { return len(line) > 998 }); i >= 0 {
			t.Errorf("line %d is longer than RFC 5322 lets it", i)
		}
	}
}

// A mail stays as it is, but for what it lacks, and for what nobody is to see.
func TestComplete(t *testing.T) {
	whole := "From: a@b.c\nTo: d@e.f,\n g@h.i\nCc: J <j@k.l>\nDate: Fri, 27 Nov 2026 06:00:00 +0000\nMessage-ID: <1@b.c>\nSubject: =?utf-8?q?x?=\n\nTo: body\nBcc: body\n"
	m := New([]byte(whole), "", defaults)
	if m.Err != nil || string(m.Text) != whole || m.From != "a@b.c" || !slices.Equal(m.To, []string{"d@e.f", "g@h.i", "j@k.l"}) {
		t.Errorf("%+v, text %q", m, m.Text)
	}
	for _, end := range []string{"\n", "\r\n"} {
		lacking := strings.ReplaceAll("To: d@e.f\nbcc: x@y.z,\n\tw@y.z\nSubject: x\n\nBcc: body\n", "\n", end)
		m = New([]byte(lacking), "key", defaults)
		if m.Err != nil || m.From != "edm@example.com" || !slices.Equal(m.To, []string{"d@e.f", "x@y.z", "w@y.z"}) {
			t.Errorf("%+v", m)
		}
		head, rest, _ := strings.Cut(string(m.Text), "To: d@e.f"+end)
		if rest != "Subject: x"+end+end+"Bcc: body"+end {
			t.Errorf("what was there is now %q", rest)
		}
		read, err := mail.ReadMessage(strings.NewReader(head + end))
		if err != nil || read.Header.Get("From") != defaults.From || read.Header.Get("Date") == "" || read.Header.Get("Message-Id") != m.messageID() {
			t.Errorf("what was missing is %q, %v", head, err)
		}
		if again := New([]byte(lacking), "key", defaults); again.ID != m.ID {
			t.Error("the same message has another id")
		}
	}
}

// What is no mail fails, for good.
func TestNoMail(t *testing.T) {
	for _, message := range []string{"To: nobody\n\nx", "To: a@b.c\nFrom: nobody\n\nx", "To: a@b.c\nCc: \n\nx", "To: a@b.c\nBcc: ,\n\nx"} {
		m := New([]byte(message), "", defaults)
		var permanent interface{ Permanent() bool }
		if !errors.As(m.Err, &permanent) || !permanent.Permanent() {
			t.Errorf("%q: %v", message, m.Err)
		}
	}
}

// Whatever comes in, it is a mail that can be read, or none.
func FuzzNew(f *testing.F) {
	for _, message := range []string{"hello", "To: a@b.c\n\nx", "To: a@b.c\r\nBcc: x@y.z\r\n more@y.z\r\n\r\nx", "To: =?utf-8?q?=41?= <a@b.c>\n\n", "\n\n", ":\n"} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m := New(message, "", defaults)
		if m.Err != nil {
			return
		}
		read, err := mail.ReadMessage(bytes.NewReader(m.Text))
		if err != nil {
			t.Fatalf("%q: %v", m.Text, err)
		}
		if len(m.To) == 0 || m.From == "" || read.Header.Get("To") == "" || read.Header.Get("Bcc") != "" {
			t.Errorf("%+v, text %q", m, m.Text)
		}
	})
}
