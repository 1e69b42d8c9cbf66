package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// The ways to protect a connection.
const (
	StartTLS = "starttls"
	TLS      = "tls"
	NoTLS    = "none"
)

// A Server takes mails by SMTP (RFC 5321).
type Server struct {
	Address            string // HOST:PORT
	TLS                string
	Username, Password string // "": it asks for none

	roots *x509.CertPool // nil: who the system trusts
}

// Check reports what is wrong with the settings.
func (s *Server) Check() error {
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return fmt.Errorf("server must be HOST:PORT, is %q", s.Address)
	}
	switch s.TLS {
	case StartTLS, TLS:
		return nil
	case NoTLS:
		if ip := net.ParseIP(host); s.Username == "" || host == "localhost" || ip != nil && ip.IsLoopback() {
			return nil
		}
		return errors.New("with a username, tls must not be \"none\": anybody on the way could read the password")
	}
	return fmt.Errorf("tls must be %q, %q or %q, is %q", StartTLS, TLS, NoTLS, s.TLS)
}

// Send hands the mails to the server, on one connection. Each that has no error is the
// server's.
func (s *Server) Send(ctx context.Context, mails []Mail) []error {
	errs := make([]error, len(mails))
	client, end, err := s.connect(ctx)
	if err == nil {
		defer end()
	}
	for i := range mails {
		switch {
		case mails[i].Err != nil:
			errs[i] = mails[i].Err
		case err != nil:
			errs[i] = err
		default:
			errs[i] = s.send(client, &mails[i])
			if broken(errs[i]) {
				err = errs[i] // for the others, too
			}
		}
	}
	if err == nil {
		_ = client.Quit() // what it has taken is taken
	}
	return errs
}

// limit is how long the server may take for an answer; a context that ends sooner
// ends the connection.
const limit = 2 * time.Minute

// connect connects to the server. End ends the connection.
func (s *Server) connect(ctx context.Context) (client *smtp.Client, end func(), err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return nil, nil, s.failed(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	end = func() {
		stop()
		_ = conn.Close()
	}
	if client, err = s.greet(conn); err != nil {
		end()
		return nil, nil, s.failed(err)
	}
	return client, end, nil
}

// greet begins the session.
func (s *Server) greet(conn net.Conn) (client *smtp.Client, err error) {
	host, _, _ := net.SplitHostPort(s.Address)
	config := &tls.Config{ServerName: host, RootCAs: s.roots}
	switch s.TLS {
	case TLS:
		client = smtp.NewClient(tls.Client(conn, config))
	case StartTLS:
		if client, err = smtp.NewClientStartTLS(conn, config); err != nil {
			return nil, err
		}
	default:
		client = smtp.NewClient(conn)
	}
	client.CommandTimeout, client.SubmissionTimeout = limit, limit
	if s.TLS != StartTLS { // which has greeted
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		if err := client.Hello(name); err != nil {
			return nil, err
		}
	}
	if s.Username != "" {
		return client, client.Auth(sasl.NewPlainClient("", s.Username, s.Password))
	}
	return client, nil
}

// send hands over one mail.
func (s *Server) send(client *smtp.Client, m *Mail) error {
	err := client.Mail(m.From, nil)
	for _, to := range m.To {
		if err == nil {
			err = client.Rcpt(to, nil)
		}
	}
	if err == nil {
		err = data(client, m.Text)
	}
	if err == nil {
		return nil
	}
	refused := (*smtp.SMTPError)(nil)
	if !errors.As(err, &refused) {
		return s.failed(err)
	}
	if reset := client.Reset(); reset != nil {
		return s.failed(reset)
	}
	err = fmt.Errorf("server %s: %w", s.Address, err)
	if refused.Code >= 500 {
		return permanentError{err}
	}
	return err
}

func data(client *smtp.Client, text []byte) error {
	w, err := client.Data()
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return errors.Join(err, w.Close())
}

// failed blames the server, and no mail.
func (s *Server) failed(err error) error {
	return unavailableError{fmt.Errorf("server %s: %w", s.Address, err)}
}

// broken reports whether a connection is of no more use.
func broken(err error) bool {
	var unavailable unavailableError
	return errors.As(err, &unavailable)
}
