package amqp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/edm/internal/config"
	"example.com/edm/internal/transport"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.certificate, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate in the files NAME.pem and NAME.key.
func (a *authority) sign(name string, of *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	of.SerialNumber, of.Subject = big.NewInt(1), pkix.Name{CommonName: name}
	of.NotBefore, of.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = of, key
	}
	der, err := x509.CreateCertificate(rand.Reader, of, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

func (a *authority) path(file string) config.Path { return config.Path(filepath.Join(a.dir, file)) }

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(string(a.path(file)), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// amqps stands before the broker, and wants a certificate of the authority; it
// returns its address.
func (a *authority) amqps(broker string) string {
	a.t.Helper()
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	own, err := tls.LoadX509KeyPair(string(a.path("server.pem")), string(a.path("server.key")))
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", broker)
			if err != nil {
				_ = client.Close()
				continue
			}
			both := func(from, to net.Conn) {
				_, _ = io.Copy(to, from)
				_ = from.Close()
				_ = to.Close()
			}
			go both(client, server)
			go both(server, client)
		}
	}()
	return listener.Addr().String()
}

func TestTLS(t *testing.T) {
	b := newBroker(t)
	a := newAuthority(t)
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c := b.config()
	c.URLs = []string{"amqps://" + a.amqps(b.url.Host)}
	for name, test := range map[string]struct{ ca, own, says string }{
		"stranger":       {"", "client", "certificate signed by unknown authority"},
		"no certificate": {"ca.pem", "", ""}, // the library may say no more than that the connection is closed
		"no PEM":         {"client.key", "client", "holds no certificate in PEM"},
		"trusted":        {"ca.pem", "client", ""},
	} {
		t.Run(name, func(t *testing.T) {
			own := *c
			if test.ca != "" {
				own.CAFile = a.path(test.ca)
			}
			if test.own != "" {
				own.CertFile, own.KeyFile = a.path(test.own+".pem"), a.path(test.own+".key")
			}
			if name != "trusted" {
				made, err := own.New(transport.Env{Log: discard})
				if err == nil {
					_ = made.Close()
				}
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v, want %q", err, test.says)
				}
				return
			}
			e := &echo{}
			s := serve(t, &own, e)
			b.publish(c, numbered(3)...)
			eventually(t, func() bool { return e.count() == 3 }, s.Status)
		})
	}
}
