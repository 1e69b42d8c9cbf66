package tcp

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
)

// name is what the certificate says that a peer has got.
func name(t *testing.T, nc *tls.Conn) string {
	t.Helper()
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return nc.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// Certificates are those of the last reload, for whoever connects then; one that
// is of no use is refused by the reload, and changes nothing.
func TestReloadCertificates(t *testing.T) {
	ca := newAuthority(t)
	c := testConfig()
	c.Cert, c.Key = ca.issue(t, "old")
	tr := serve(t, c)
	address := tr.Addr().String()
	here := tls.Client(dial(t, tr), ca.client("old"))
	echoes(t, here)

	broken := *c
	broken.Cert = "-----BEGIN CERTIFICATE-----"
	if _, err := tr.Reload(&broken); err == nil {
		t.Error("a broken certificate was taken")
	}
	if got := name(t, tls.Client(dial(t, tr), ca.client("old"))); got != "old" {
		t.Errorf("the certificate is for %q", got)
	}

	fresh := *c
	fresh.Cert, fresh.Key = ca.issue(t, "new")
	change, err := tr.Reload(&fresh)
	if err != nil {
		t.Fatal(err)
	}
	change.Abort()
	echoes(t, tls.Client(dial(t, tr), ca.client("old")))

	underWay := dial(t, tr) // accepted with the old one, and quick enough
	hasStatus(t, tr, "4 connections")
	reload(t, tr, &fresh)
	if got := name(t, tls.Client(underWay, ca.client("old"))); got != "old" {
		t.Errorf("the certificate is for %q", got)
	}
	echoes(t, tls.Client(dial(t, tr), ca.client("new")))
	echoes(t, here)
	if now := tr.Addr().String(); now != address {
		t.Errorf("the address went from %s to %s", address, now)
	}

	reload(t, tr, testConfigAt(c.Listen))
	echoes(t, dial(t, tr)) // without TLS
}

func testConfigAt(listen string) *Config {
	c := testConfig()
	c.Listen = listen
	return c
}

// With client_ca a peer needs a certificate of that authority.
func TestClientCertificates(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	c := testConfig()
	c.Cert, c.Key = ca.issue(t, "localhost")
	c.ClientCA = ca.pem
	tr := serve(t, c)
	for _, test := range []struct {
		name   string
		signer *authority
		served bool
	}{
		{"of the authority", ca, true},
		{"of another", stranger, false},
		{"none", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := ca.client("localhost")
			if test.signer != nil {
				cert, key := test.signer.issue(t, "peer")
				pair, err := tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal()))
				if err != nil {
					t.Fatal(err)
				}
				// Shown whatever authorities the service asks for.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			nc := tls.Client(dial(t, tr), config)
			if test.served {
				echoes(t, nc)
				return
			}
			_, _ = io.WriteString(nc, "in\n") // TLS 1.3 tells the peer afterwards
			ends(t, nc)
		})
	}
	hasStatus(t, tr, "2 failed handshakes")
}

func TestOldTLS(t *testing.T) {
	ca := newAuthority(t)
	c := testConfig()
	c.Cert, c.Key = ca.issue(t, "localhost")
	tr := serve(t, c)
	for version, served := range map[uint16]bool{
		tls.VersionTLS11: false,
		tls.VersionTLS12: true,
		tls.VersionTLS13: true,
	} {
		config := ca.client("localhost")
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		nc := tls.Client(dial(t, tr), config)
		if served {
			echoes(t, nc)
		} else if err := nc.Handshake(); err == nil {
			t.Errorf("%s was good enough", tls.VersionName(version))
		}
	}
}

// A handshake has to be complete in time, also one that is not even begun, and
// neither the end of the service nor a reload waits for it.
func TestSlowHandshake(t *testing.T) {
	ca := newAuthority(t)
	c := testConfig()
	c.Cert, c.Key = ca.issue(t, "localhost")
	c.ReadTimeout = config.Duration(100 * time.Millisecond)
	tr := serve(t, c)
	silent, slow := dial(t, tr), dial(t, tr)
	if _, err := slow.Write([]byte{22, 3, 1}); err != nil { // the record of a handshake
		t.Fatal(err)
	}
	plain := dial(t, tr)
	if _, err := io.WriteString(plain, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	hasStatus(t, tr, "0 connections, 0 refused, 3 failed handshakes")
	for _, nc := range []net.Conn{silent, slow} {
		ends(t, nc)
	}

	patient := *c
	patient.ReadTimeout = config.Duration(time.Hour)
	reload(t, tr, &patient)
	dial(t, tr) // says nothing, until the service ends
	hasStatus(t, tr, "1 connection,")
}

// Who is not allowed to connect gets no handshake.
func TestAllowBeforeTLS(t *testing.T) {
	ca := newAuthority(t)
	c := testConfig()
	c.Cert, c.Key = ca.issue(t, "localhost")
	c.Allow = []string{"192.0.2.1"}
	tr := serve(t, c)
	if err := tls.Client(dial(t, tr), ca.client("localhost")).Handshake(); err == nil {
		t.Error("the handshake was made")
	}
	hasStatus(t, tr, "0 connections, 0 refused, 1 not allowed")
	if got := tr.Status(); got != "listening on "+tr.Addr().String()+", 0 connections, 0 refused, 1 not allowed" {
		t.Errorf("status %q", got)
	}
}
