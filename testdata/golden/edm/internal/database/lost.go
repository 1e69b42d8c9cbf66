// Connections that fail, whatever the server.

package database

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"net"
)

// Lost reports whether an error, which is none that a server has sent, says that
// the connection to the server is gone or can't be made. A context that has
// ended is no sign of it, unless it ended while dialling.
func Lost(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || untrusted(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// OpenError returns what Open fails with after the error err of its first
// connection: an UnavailableError, unless the other side has answered and only
// an operator can put it right. Rejected says that the server has turned down
// the user, the password or the name of the database.
func OpenError(err error, class Class, rejected bool) error {
	if class == Unavailable && !rejected && !untrusted(err) {
		return &UnavailableError{err}
	}
	return err
}

// untrusted reports whether the two sides don't agree on TLS.
func untrusted(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	return certificate || record || alert || host
}
