// Connections to the broker.

package amqp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	// abandonLimit is the time that an end at once may take, for the broker to be told
	// of what is settled.
	abandonLimit = 250 * time.Millisecond

	// cancelLimit is the time that the broker has to end a consumer, which it may
	// have much to deliver to, and closeLimit the time to take leave.
	cancelLimit = 5 * time.Second
	closeLimit  = 2 * time.Second
)

// connection is a connection of the library, and the socket below it: to close
// that ends whatever the library does with a broker that is silent.
type connection struct {
	*amqp091.Connection
	socket net.Conn
	node   string // HOST:PORT
}

// close takes leave of the broker, or goes without after closeLimit. Messages
// that are not acknowledged are the broker's again.
func (c *connection) close() {
	hung := time.AfterFunc(closeLimit, c.kill)
	defer hung.Stop()
	_ = c.Close() // it may be closed already
	c.kill()
}

// kill ends the connection at once.
func (c *connection) kill() { _ = c.socket.Close() }

// patientSocket gives up on a peer that takes nothing. While the library writes,
// it holds what it needs to find out that the other side is gone.
type patientSocket struct {
	net.Conn
	timeout time.Duration
}

// Write implements net.Conn.
func (s *patientSocket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// dial connects to a node of the broker, which shows the purpose to those who ask
// it for its connections. It takes connect_timeout at most, and ends early when
// ctx does. Errors name the node, and are unavailable where another attempt makes
// sense.
func (c *Config) dial(ctx context.Context, node, purpose string) (*connection, error) {
	u, err := parseURL(node)
	if err != nil {
		return nil, err
	}
	trust, err := c.trust(u)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.ConnectTimeout))
	defer cancel()
	made := &connection{node: u.Host}
	reached := func() bool { return true } // before ctx ended
	made.Connection, err = amqp091.DialConfig(node, amqp091.Config{
		SASL:            []amqp091.Authentication{c.login()},
		Heartbeat:       time.Duration(c.Heartbeat),
		TLSClientConfig: trust,
		Properties:      amqp091.Table{"connection_name": "edm " + purpose, "product": "edm"},
		Dial: func(network, address string) (net.Conn, error) {
			socket, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			made.socket = &patientSocket{socket, time.Duration(c.Heartbeat)}
			reached = context.AfterFunc(ctx, made.kill)
			return made.socket, nil
		},
	})
	if !reached() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return made, nil
	}
	if made.socket != nil {
		made.kill() // however far it came
	}
	return nil, failure(fmt.Errorf("%s: %w", u.Host, cause(ctx, err)))
}

// cause leaves the names of system calls out of an error, and puts the end of the
// time to connect in the place of what came of it.
func cause(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer within connect_timeout")
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err
	}
	return err
}

func (c *Config) login() amqp091.Authentication {
	if c.Username == "" {
		return &amqp091.PlainAuth{Username: "guest", Password: "guest"}
	}
	return &amqp091.PlainAuth{Username: c.Username, Password: c.Password.Reveal()}
}

// trust returns what TLS needs to know, for a URL that asks for it.
func (c *Config) trust(u *url.URL) (*tls.Config, error) {
	if u.Scheme != "amqps" {
		return nil, nil
	}
	settings := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		text, err := os.ReadFile(string(c.CAFile))
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		own, err := tls.LoadX509KeyPair(string(c.CertFile), string(c.KeyFile))
		if err != nil {
			return nil, fmt.Errorf("cert_file, key_file: %w", err)
		}
		settings.Certificates = []tls.Certificate{own}
	}
	return settings, nil
}
