// What errors of the broker mean.

package amqp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// unavailableError is why the broker can't be had at the moment.
type unavailableError struct{ error }

func (e unavailableError) Unwrap() error { return e.error }

// Unavailable has a start wait, see transport.RemoteConfig.
func (e unavailableError) Unavailable() bool { return true }

// failure returns an error that comes from the broker, or from the way to it, as
// what it is: unavailable, unless somebody has to put something right.
func failure(err error) error {
	if err == nil || isRefusal(err) {
		return err
	}
	return unavailableError{err}
}

// isRefusal reports whether the broker has answered that it won't do what is asked
// of it, or the two sides don't trust each other. The codes are those of AMQP
// 0-9-1, https://www.rabbitmq.com/amqp-0-9-1-reference#constants; a wrong password
// is AccessRefused, which the library also says of a broker that hangs up instead.
func isRefusal(err error) bool {
	if answer, ok := errors.AsType[*amqp091.Error](err); ok {
		switch answer.Code {
		case amqp091.AccessRefused, amqp091.NotFound, amqp091.ResourceLocked, amqp091.PreconditionFailed,
			amqp091.NotAllowed, amqp091.NotImplemented, amqp091.InvalidPath, amqp091.CommandInvalid:
			return true
		}
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	return certificate || record || alert || host
}
