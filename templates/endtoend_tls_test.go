package templates_test

// TLS, in a service whose key only root may read.

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate for the name, which is its own authority, and its
// key, which is for the owner alone, into the files of the service.
func (s *service) certify(name string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.writePEM("cert.pem", "CERTIFICATE", certificate)
	s.writePEM("key.pem", "PRIVATE KEY", private)
}

// writePEM puts a file in the place of one that may be there, as those do who
// renew certificates.
func (s *service) writePEM(name, kind string, der []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// secured connects, and returns the connection with the name in the service's
// certificate.
func (s *service) secured() (conn *lineConn, name string) {
	s.t.Helper()
	nc, err := connect(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		s.t.Fatal(err)
	}
	secured := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // the name is all that matters
	if err := secured.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return &lineConn{secured, bufio.NewReader(secured)}, secured.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS(t *testing.T) {
	s := newService(t)
	s.certify("old")
	s.set("transport.tcp.cert_file", `"cert.pem"`)
	s.set("transport.tcp.key_file", `"key.pem"`)
	pid := s.start()
	serves := func(want string) *lineConn {
		t.Helper()
		conn, name := s.secured()
		if err := conn.ask("a line"); err != nil || name != want {
			t.Errorf("the certificate is for %q, want %q; %v", name, want, err)
		}
		return conn
	}
	here := serves("old")

	// The process that takes over has what the one before it had, which goes on with
	// whoever is connected.
	out := s.want(0, `upgraded \(pid `+strconv.Itoa(pid)+` -> \d+\)`, "upgrade")
	if _, err := fmt.Sscanf(out[strings.Index(out, "->"):], "-> %d", &pid); err != nil {
		t.Fatal(err)
	}
	serves("old")

	s.certify("new")
	serves("old")
	s.want(0, fmt.Sprintf(`reloaded \(pid %d, generation 3\)`, pid), "reload")
	serves("new")

	// Pitfall 41: what is of no use is refused, and the service goes on as it was.
	s.writePEM("key.pem", "PRIVATE KEY", []byte("no key"))
	s.want(6, `transport\.tcp\.cert: must be certificates in PEM form`, "reload")
	s.want(6, `transport\.tcp\.cert: must be certificates in PEM form`, "check")
	serves("new")
	if err := os.Remove(filepath.Join(s.dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	s.want(6, `transport\.tcp\.key_file: .*key\.pem can't be read: no such file`, "check")
	s.want(6, `key_file`, "reload")
	serves("new")

	if err := here.ask("from before all of that"); err != nil {
		t.Error(err)
	}
}
