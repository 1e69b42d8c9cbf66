// TLS on the connections.

package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// secure returns what makes a server's side of TLS of a connection, with the
// certificates of c.
func (c *Config) secure() (wrap func(net.Conn) net.Conn, err error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	pair, err := c.keyPair()
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	if c.ClientCA != "" {
		if config.ClientCAs, err = c.authorities(); err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return func(nc net.Conn) net.Conn { return tls.Server(nc, config) }, nil
}

// keyPair reads the certificate with its key.
func (c *Config) keyPair() (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(c.Cert.Reveal()), []byte(c.Key.Reveal()))
	if err != nil {
		return pair, fmt.Errorf("must be certificates in PEM form, that of the service first, whose private key is in key: %w", err)
	}
	return pair, nil
}

// authorities reads who may have signed the certificates of peers.
func (c *Config) authorities() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.ClientCA.Reveal())) {
		return nil, errors.New("must be certificates in PEM form, has none")
	}
	return pool, nil
}

// validateTLS reports what is wrong with the certificates.
func (c *Config) validateTLS(report func(key, reason string)) {
	switch {
	case c.Cert == "" && c.Key != "":
		report("key", "is of no use without cert")
	case c.Cert != "" && c.Key == "":
		report("cert", "is of no use without key, the private key of the certificate")
	case c.Cert != "":
		if _, err := c.keyPair(); err != nil {
			report("cert", err.Error())
		}
	}
	if c.ClientCA == "" {
		return
	}
	if c.Cert == "" {
		report("client_ca", "is of no use without cert: peers show certificates only where TLS is")
	}
	if _, err := c.authorities(); err != nil {
		report("client_ca", err.Error())
	}
}
