package database

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestLost(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, cancelled := new(net.Dialer).DialContext(ended, "tcp", "127.0.0.1:1")
	_, refused := net.Dial("tcp", "127.0.0.1:1")
	for err, want := range map[error]bool{
		refused:                  true,
		cancelled:                true,
		driver.ErrBadConn:        true,
		net.ErrClosed:            true,
		io.EOF:                   true,
		io.ErrUnexpectedEOF:      true,
		os.ErrDeadlineExceeded:   true,
		&net.DNSError{Err: "no"}: true,
		&net.OpError{Op: "read", Err: syscall.ECONNRESET}:        true,
		&tls.CertificateVerificationError{Err: io.ErrNoProgress}: true,
		context.Canceled:         false,
		context.DeadlineExceeded: false,
		sql.ErrNoRows:            false,
		sql.ErrTxDone:            false,
		errors.New("anything"):   false,
	} {
		if got := Lost(fmt.Errorf("store: %w", err)); got != want {
			t.Errorf("Lost(%v) = %v", err, got)
		}
	}
}

// Open fails for good only where it makes sense: an operator has to act.
func TestOpenError(t *testing.T) {
	certificate := &tls.CertificateVerificationError{Err: io.ErrNoProgress}
	for _, tt := range []struct {
		err      error
		class    Class
		rejected bool
		want     bool
	}{
		{io.EOF, Unavailable, false, true},
		{io.EOF, Unavailable, true, false},
		{io.EOF, Retry, false, false},
		{fmt.Errorf("connect: %w", certificate), Unavailable, false, false},
	} {
		err := OpenError(tt.err, tt.class, tt.rejected)
		if _, got := errors.AsType[*UnavailableError](err); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("OpenError(%v, %v, %v) is %T", tt.err, tt.class, tt.rejected, err)
		}
	}
}

// Services that were started together do not connect anew together.
func TestJittered(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := jittered(time.Hour)
		if d > time.Hour || d < 54*time.Minute {
			t.Fatalf("got %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different lengths of 100", len(seen))
	}
	if d := jittered(0); d != 0 {
		t.Errorf("no end became %v", d)
	}
}
