package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A mail is the server's when Send has no error for it: with TLS from the first byte,
// with STARTTLS, and without, with a password and without.
func TestSend(t *testing.T) {
	for _, test := range []struct{ tls, user string }{{NoTLS, ""}, {NoTLS, "me"}, {StartTLS, "me"}, {TLS, "me"}} {
		t.Run(test.tls+" "+test.user, func(t *testing.T) {
			b := newBackend(t, test.tls)
			b.server.Username, b.server.Password = test.user, "secret"
			mails := []Mail{
				New([]byte("To: a@example.com, b@example.com\nFrom: c@example.com\n\n.dots\n..\nend"), "", defaults),
				New([]byte("To: nobody\n\nx"), "", defaults),
				New([]byte("hello"), "", defaults),
			}
			errs := b.server.Send(t.Context(), mails)
			if errs[0] != nil || errs[1] == nil || errs[2] != nil {
				t.Fatalf("%v", errs)
			}
			taken := b.taken()
			if len(taken) != 2 || taken[0].from != "c@example.com" || !slices.Equal(taken[0].to, []string{"a@example.com", "b@example.com"}) ||
				!strings.HasSuffix(taken[0].text, "\r\n\r\n.dots\r\n..\r\nend\r\n") || !strings.Contains(taken[1].text, "\r\n\r\nhello") {
				t.Errorf("%+v", taken)
			}
			for _, m := range taken {
				if m.user != test.user {
					t.Errorf("it came from the user %q", m.user)
				}
			}
		})
	}
}

// What the server refuses for good is a dead letter, what it defers is tried again, and
// neither hinders the next mail.
func TestRefused(t *testing.T) {
	b := newBackend(t, NoTLS)
	mails := []Mail{
		New([]byte("To: never@example.com\n\nx"), "", defaults),
		New([]byte("To: later@example.com\n\nx"), "", defaults),
		New([]byte("To: good@example.com\n\nx"), "", defaults),
	}
	errs := b.server.Send(t.Context(), mails)
	var permanent interface{ Permanent() bool }
	if !errors.As(errs[0], &permanent) || !permanent.Permanent() || !strings.Contains(errs[0].Error(), "no such user") {
		t.Errorf("refused for good: %v", errs[0])
	}
	if errs[1] == nil || errors.As(errs[1], &permanent) || broken(errs[1]) {
		t.Errorf("deferred: %v", errs[1])
	}
	if errs[2] != nil || len(b.taken()) != 1 {
		t.Errorf("good: %v, taken %+v", errs[2], b.taken())
	}
}

// A server that is away, does not let us in, or goes is no mail's fault.
func TestServerAway(t *testing.T) {
	away := &Server{Address: "127.0.0.1:1", TLS: NoTLS}
	mails := []Mail{New([]byte("To: hang@example.com\n\nx"), "", defaults), New([]byte("x"), "", defaults)}
	for name, try := range map[string]func(t *testing.T) []error{
		"away": func(t *testing.T) []error { return away.Send(t.Context(), mails) },
		"wrong password": func(t *testing.T) []error {
			b := newBackend(t, NoTLS)
			b.server.Username, b.server.Password = "me", "wrong"
			return b.server.Send(t.Context(), mails)
		},
		"not trusted": func(t *testing.T) []error {
			b := newBackend(t, StartTLS)
			b.server.roots = nil
			return b.server.Send(t.Context(), mails)
		},
		"no STARTTLS": func(t *testing.T) []error {
			b := newBackend(t, NoTLS)
			b.server.TLS = StartTLS
			return b.server.Send(t.Context(), mails)
		},
		"the time is up": func(t *testing.T) []error {
			ctx, cancel := context.WithCancel(t.Context())
			b := newBackend(t, NoTLS)
			b.hangs = cancel
			return b.server.Send(ctx, mails)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i, err := range try(t) {
				if !broken(err) {
					t.Errorf("mail %d: %v", i, err)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, good := range []Server{{Address: "a:25", TLS: StartTLS}, {Address: "[::1]:25", TLS: NoTLS, Username: "me"}, {Address: "localhost:25", TLS: NoTLS, Username: "me"}, {Address: "a:25", TLS: NoTLS}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for want, bad := range map[string]Server{
		"must be HOST:PORT": {Address: "a", TLS: StartTLS},
		"tls must be":       {Address: "a:25", TLS: "ssl"},
		"read the password": {Address: "a:25", TLS: NoTLS, Username: "me"},
	} {
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", bad, err, want)
		}
	}
}

// backend is an SMTP server.
type backend struct {
	server *Server // how to reach it
	hangs  func()  // what happens when somebody sends a mail to hang@…

	mu  sync.Mutex
	all []envelope
}

type envelope struct {
	user, from string
	to         []string
	text       string
}

func newBackend(t *testing.T, protection string) *backend {
	t.Helper()
	b := &backend{}
	s := smtp.NewServer(b)
	s.AllowInsecureAuth = true
	s.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.server = &Server{Address: listener.Addr().String(), TLS: protection}
	if protection != NoTLS {
		certificate, roots := selfSigned(t)
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		b.server.roots = roots
		if protection == TLS {
			listener = tls.NewListener(listener, config)
		} else {
			s.TLSConfig = config
		}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
	return b
}

func (b *backend) taken() []envelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

func (b *backend) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{b: b}, nil }

type session struct {
	b    *backend
	user string
	envelope
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.user = username
		return nil
	}), nil
}

func (s *session) Reset()        { s.envelope = envelope{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch name, _, _ := strings.Cut(to, "@"); name {
	case "never":
		return &smtp.SMTPError{Code: 550, Message: "no such user"}
	case "later":
		return &smtp.SMTPError{Code: 451, Message: "try again"}
	case "hang":
		if s.b.hangs != nil {
			s.b.hangs()
			return errors.New("too late")
		}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	var text bytes.Buffer
	if _, err := io.Copy(&text, r); err != nil {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.all = append(s.b.all, envelope{s.user, s.from, s.to, text.String()})
	return nil
}

// selfSigned makes a certificate for this machine.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
