// Package exampled is the work of the service: each message becomes a mail, which is
// handed to a Sender, and a line of the log.
//
// This file and its test are yours, and daemongen never touches them again.
package exampled

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/presets/edm/internal/mail"
)

// A Sender takes mails from the service. For another way to send them, write one, and
// have newSender make it.
type Sender interface {
	// Send returns an error for each of the mails, nil where the mail is safe: kept by
	// the time that Send returns, whatever ends then. An error with a method
	// Permanent() bool that says true makes a dead letter of the message at once, and
	// one with Unavailable() bool blames no message: the service tries again until
	// it succeeds. Of all others a message has worker.attempts. Send is called by several
	// workers at once, and has to return when ctx ends.
	Send(ctx context.Context, mails []mail.Mail) []error
}

// The ways to send, as mail.sender in the configuration names them.
const (
	toSpool = "spool"
	toSMTP  = "smtp"
	toLog   = "log"
)

// Settings are sections of your own in the configuration: one a field, with a key
// for each field of its struct. A key is a string, number, bool, time.Duration ("30s"),
// a list of them, or a type that reads itself by UnmarshalText.
type Settings struct {
	Mail struct {
		Sender  string `toml:"sender"`
		Spool   string `toml:"spool"`
		From    string `toml:"from"`
		To      string `toml:"to"`
		Subject string `toml:"subject"`
	} `toml:"mail"`

	SMTP struct {
		Server   string        `toml:"server"`
		TLS      string        `toml:"tls"`
		Username string        `toml:"username"`
		Password config.Secret `toml:"password"`
	} `toml:"smtp"`

	stateDir string
}

// DefaultSettings returns the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings {
	s := &Settings{}
	s.Mail.Sender = toSpool
	s.Mail.From, s.Mail.To, s.Mail.Subject = "exampled@localhost", "postmaster@localhost", "exampled"
	s.SMTP.Server, s.SMTP.TLS = "127.0.0.1:25", mail.StartTLS
	return s
}

// UseStateDir is told the folder in which the service keeps what has to last.
func (s *Settings) UseStateDir(dir string) { s.stateDir = dir }

// Validate reports what is wrong with the settings.
func (s *Settings) Validate(report func(key, reason string)) {
	switch s.Mail.Sender {
	case toSpool, toSMTP, toLog:
	default:
		report("mail.sender", fmt.Sprintf("must be %q, %q or %q, is %q", toSpool, toSMTP, toLog, s.Mail.Sender))
	}
	if s.Mail.Spool != "" && !filepath.IsAbs(s.Mail.Spool) {
		report("mail.spool", fmt.Sprintf("must be an absolute path, is %q", s.Mail.Spool))
	}
	if strings.ContainsAny(s.Mail.Subject, "\r\n") {
		report("mail.subject", "must be one line")
	}
	if _, err := mail.Addresses(s.Mail.From); err != nil {
		report("mail.from", err.Error())
	}
	if _, err := mail.Addresses(s.Mail.To); err != nil {
		report("mail.to", err.Error())
	}
	if err := s.server().Check(); err != nil && s.Mail.Sender == toSMTP {
		report("smtp", err.Error())
	}
}

// server is where the mails go by SMTP.
func (s *Settings) server() *mail.Server {
	return &mail.Server{Address: s.SMTP.Server, TLS: s.SMTP.TLS, Username: s.SMTP.Username, Password: s.SMTP.Password.Reveal()}
}

// newSender returns what the settings ask for; nil: mails are not sent.
func newSender(s *Settings) (Sender, error) {
	switch s.Mail.Sender {
	case toLog:
		return nil, nil
	case toSMTP:
		return s.server(), nil
	}
	folder := s.Mail.Spool
	if folder == "" {
		folder = filepath.Join(s.stateDir, "spool")
	}
	return mail.OpenSpool(folder)
}

// Database is what the handler would use of a database, as *sql.DB has it.
type Database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Handler makes mails of messages.
type Handler struct {
	current atomic.Pointer[parts]
}

// parts are what a reload changes.
type parts struct {
	settings *Settings
	sender   Sender
}

// New returns the handler. After an error the service does not start, and says why.
// What the handler logs with log/slog goes to the log of the service.
func New(db Database, settings *Settings) (*Handler, error) {
	h := &Handler{}
	return h, h.Reload(settings)
}

// Reload takes other settings, while messages are handled. After an error nothing
// has changed.
func (h *Handler) Reload(settings *Settings) error {
	sender, err := newSender(settings)
	if err != nil {
		return err
	}
	h.current.Store(&parts{settings, sender})
	return nil
}

// Result is what became of one message of a batch.
type Result = struct {
	Reply []byte
	Err   error
}

// Handle does the work of one message.
func (h *Handler) Handle(ctx context.Context, message []byte) ([]byte, error) {
	result := h.HandleBatch(ctx, [][]byte{message})[0]
	return result.Reply, result.Err
}

// HandleBatch does the work of the messages that arrived while a worker was busy, and
// returns a result for each, in their order. One with an error is handed to Handle,
// alone. A message is acknowledged when its mail is safe, and is in the log then.
func (h *Handler) HandleBatch(ctx context.Context, messages [][]byte) []Result {
	errs := make([]error, len(messages))
	if now := h.current.Load(); now.sender != nil {
		errs = now.sender.Send(ctx, now.mails(ctx, messages))
	}
	log, flush := together()
	defer flush()
	results := make([]Result, len(messages))
	for i, message := range messages {
		if errs[i] != nil {
			results[i].Err = errs[i]
			continue
		}
		log.Info("sent", "message", excerpt(message))
		results[i].Reply = []byte("TRUE")
	}
	return results
}

// together returns a logger whose lines are written by flush, all at once, as the log
// of the service offers it.
func together() (log *slog.Logger, flush func()) {
	offer, ok := slog.Default().Handler().(interface{ Together() (slog.Handler, func()) })
	if !ok {
		return slog.Default(), func() {}
	}
	handler, flush := offer.Together()
	return slog.New(handler), flush
}

// mails makes mails of messages.
func (p *parts) mails(ctx context.Context, messages [][]byte) []mail.Mail {
	keys := messageKeys(ctx)
	mails := make([]mail.Mail, len(messages))
	for i, message := range messages {
		key := ""
		if i < len(keys) {
			key = keys[i]
		}
		s := &p.settings.Mail
		mails[i] = mail.New(message, key, mail.Defaults{From: s.From, To: s.To, Subject: s.Subject})
	}
	return mails
}

// messageKeys returns what the transport calls each message of a call, the same
// when it is delivered again, and "" where it has no name for one; nil where it has
// none for any of them.
func messageKeys(ctx context.Context) []string {
	keys, _ := ctx.Value(struct{ MessageKeys struct{} }{}).([]string)
	return keys
}

// excerpt returns as much of a message as a line of the log has room for.
func excerpt(message []byte) string {
	const most = 1024
	if len(message) > most {
		return fmt.Sprintf("%s... (%d bytes)", message[:most], len(message))
	}
	return string(message)
}
