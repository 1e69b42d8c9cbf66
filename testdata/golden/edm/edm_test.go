package edm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/edm/internal/mail"
)

// A message is a file of the spool by the time that it is acknowledged, and a line of
// the log.
func TestSpool(t *testing.T) {
	log := logged(t)
	settings := DefaultSettings()
	settings.UseStateDir(t.TempDir())
	handler := newHandler(t, settings)
	for i, result := range handler.HandleBatch(t.Context(), [][]byte{[]byte("hello"), []byte("To: you@example.com\n\nhi")}) {
		if string(result.Reply) != "TRUE" || result.Err != nil {
			t.Errorf("result %d is %q, %v", i, result.Reply, result.Err)
		}
	}
	files, err := filepath.Glob(filepath.Join(settings.stateDir, "spool", "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	var mails []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, string(text))
	}
	for _, text := range []string{"To: postmaster@localhost\n", "To: you@example.com\n"} {
		if !slices.ContainsFunc(mails, func(mail string) bool { return strings.Contains(mail, text) }) {
			t.Errorf("no mail has %q", text)
		}
	}
	for _, text := range []string{"msg=sent message=hello\n", `msg=sent message="To: you@example.com\n\nhi"`} {
		if strings.Count(log.String(), text) != 1 {
			t.Errorf("the log does not say once %s:\n%s", text, log)
		}
	}
}

// What could not be sent is not acknowledged, nor is it in the log as if it was.
func TestFails(t *testing.T) {
	log := logged(t)
	handler := newHandler(t, logOnly())
	cause := errors.New("no")
	handler.current.Store(&parts{logOnly(), sender(func(mails []mail.Mail) []error { return make([]error, len(mails)) })})
	if reply, err := handler.Handle(t.Context(), []byte("one")); string(reply) != "TRUE" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
	handler.current.Store(&parts{logOnly(), sender(func([]mail.Mail) []error { return []error{nil, cause} })})
	results := handler.HandleBatch(t.Context(), [][]byte{[]byte("two"), []byte("three")})
	if string(results[0].Reply) != "TRUE" || results[0].Err != nil || results[1].Reply != nil || !errors.Is(results[1].Err, cause) {
		t.Errorf("%v", results)
	}
	if strings.Count(log.String(), "sent") != 2 || strings.Contains(log.String(), "three") {
		t.Errorf("the log says\n%s", log)
	}
}

// The lines of a batch are in the log by the time that it is acknowledged, written at
// once if the log offers that.
func TestLogsTogether(t *testing.T) {
	log := logged(t)
	offering := &offering{Handler: slog.Default().Handler()}
	slog.SetDefault(slog.New(offering))
	newHandler(t, logOnly()).HandleBatch(t.Context(), [][]byte{[]byte("one"), []byte("two")})
	if offering.flushed != 1 || strings.Count(log.String(), "msg=sent") != 2 {
		t.Errorf("flushed %d times, the log says\n%s", offering.flushed, log)
	}
}

// offering is a log that counts how often lines are written together.
type offering struct {
	slog.Handler
	flushed int
}

func (o *offering) Together() (slog.Handler, func()) { return o.Handler, func() { o.flushed++ } }

// A message that is delivered again is the same mail, if the transport has a name for
// it.
func TestKeys(t *testing.T) {
	handler := newHandler(t, logOnly())
	var ids []string
	handler.current.Store(&parts{logOnly(), sender(func(mails []mail.Mail) []error {
		for _, m := range mails {
			ids = append(ids, m.ID)
		}
		return make([]error, len(mails))
	})})
	ctx := context.WithValue(t.Context(), struct{ MessageKeys struct{} }{}, []string{"a", "", "a"})
	handler.HandleBatch(ctx, [][]byte{[]byte("x"), []byte("y"), []byte("x"), []byte("z")})
	if len(ids) != 4 || ids[0] != ids[2] || ids[0] == ids[1] || ids[1] == ids[3] {
		t.Errorf("%q", ids)
	}
}

// A reload takes another sender, or none of what is new.
func TestReload(t *testing.T) {
	handler := newHandler(t, logOnly())
	closed := DefaultSettings()
	closed.Mail.Spool = "/dev/null/spool"
	if err := handler.Reload(closed); err == nil {
		t.Error("no error for a folder that can't be made")
	}
	if reply, err := handler.Handle(t.Context(), []byte("x")); string(reply) != "TRUE" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
	open := DefaultSettings()
	open.Mail.Spool = t.TempDir()
	if err := handler.Reload(open); err != nil {
		t.Error(err)
	}
	if _, err := handler.Handle(t.Context(), []byte("x")); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(open.Mail.Spool); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
}

func TestValidate(t *testing.T) {
	found := func(change func(s *Settings)) (keys []string) {
		s := DefaultSettings()
		change(s)
		s.Validate(func(key, _ string) { keys = append(keys, key) })
		return keys
	}
	if keys := found(func(*Settings) {}); keys != nil {
		t.Errorf("found wrong with the defaults: %q", keys)
	}
	if keys := found(func(s *Settings) { s.Mail.From = "a@b.c\nBcc: d@e.f" }); !slices.Equal(keys, []string{"mail.from"}) {
		t.Errorf("found wrong with two lines: %q", keys)
	}
	for want, change := range map[string]func(s *Settings){
		"mail.sender":  func(s *Settings) { s.Mail.Sender = "post" },
		"mail.spool":   func(s *Settings) { s.Mail.Spool = "spool" },
		"mail.from":    func(s *Settings) { s.Mail.From = "" },
		"mail.to":      func(s *Settings) { s.Mail.To = "a@b, c" },
		"mail.subject": func(s *Settings) { s.Mail.Subject = "two\nlines" },
		"smtp":         func(s *Settings) { s.Mail.Sender, s.SMTP.TLS = toSMTP, "ssl" },
	} {
		if keys := found(change); !slices.Equal(keys, []string{want}) {
			t.Errorf("found wrong: %q, want %s", keys, want)
		}
	}
}

// sender is a function of mails.
type sender func([]mail.Mail) []error

func (s sender) Send(_ context.Context, mails []mail.Mail) []error { return s(mails) }

// logOnly are settings with which nothing is sent.
func logOnly() *Settings {
	s := DefaultSettings()
	s.Mail.Sender = toLog
	return s
}

func newHandler(t *testing.T, settings *Settings) *Handler {
	t.Helper()
	handler, err := New(nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// logged returns what is logged from now on, for the length of the test.
func logged(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}
