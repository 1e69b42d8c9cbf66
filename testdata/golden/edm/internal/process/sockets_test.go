package process

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"example.com/edm/internal/nettest"
)

// Pitfall 52: who has handed a unix socket on leaves its path to who serves it
// then, be it a starter or a daemon that was replaced.
func TestUnixSocketHandedOn(t *testing.T) {
	for who, listen := range map[string]func(h *Handover, path string) error{
		"starter": func(h *Handover, path string) error {
			_, err := h.Bind("x", "unix", path)
			return err
		},
		"daemon": func(h *Handover, path string) error {
			s := NewSockets(&Handover{})
			listener, err := s.Listen("x", "unix", path)
			if err != nil {
				return err
			}
			if err := s.handOn(h); err != nil {
				return err
			}
			return listener.Close()
		},
	} {
		path := filepath.Join(t.TempDir(), "x.sock")
		h := &Handover{}
		if err := listen(h, path); err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		listener, err := NewSockets(h).Listen("x", "unix", path)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		_ = conn.Close()
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A socket of datagrams is bound by the starter, handed on while it is served, and
// taken from a supervisor, as one that listens is; what has arrived stays in it.
func TestPacketSocketHandedOn(t *testing.T) {
	for who, hand := range map[string]func(h *Handover) (address string, err error){
		"starter": func(h *Handover) (string, error) {
			address := "127.0.0.1:0"
			bound, err := h.Bind("x", "udp", address)
			if err == nil && bound.Network() != "udp" {
				err = fmt.Errorf("bound is %s", bound)
			}
			return address, err
		},
		"daemon": func(h *Handover) (string, error) {
			s := NewSockets(&Handover{})
			conn, err := s.ListenPacket("x", "udp", "127.0.0.1:0")
			if err != nil {
				return "", err
			}
			return "127.0.0.1:0", errors.Join(s.handOn(h), conn.Close())
		},
		"supervisor": func(h *Handover) (string, error) {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				return "", err
			}
			file, err := duplicateSocket(conn)
			h.Add(activatedName("other", 0), file)
			return conn.LocalAddr().String(), errors.Join(err, conn.Close())
		},
	} {
		t.Run(who, func(t *testing.T) {
			h := &Handover{}
			address, err := hand(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Bind("x", "udp", address); who == "supervisor" && (err != nil || len(h.Names) != 1) {
				t.Errorf("what is there is bound again: %q, %v", h.Names, err)
			}
			conn, err := NewSockets(h).ListenPacket("x", "udp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			peer, err := net.Dial("udp", conn.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = peer.Close() }()
			if _, err := peer.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			var buffer [16]byte
			n, _, err := conn.ReadFrom(buffer[:])
			if string(buffer[:n]) != "hello" || err != nil {
				t.Errorf("received %q, %v", buffer[:n], err)
			}
		})
	}
}

// Who wants to listen gets no socket of datagrams, be it of the same number.
func TestPacketSocketIsNoListener(t *testing.T) {
	h := &Handover{}
	conn, err := net.ListenPacket("udp", nettest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	file, err := duplicateSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	h.Add(activatedName("x", 0), file)
	s := NewSockets(h)
	if listener, err := s.Listen("other", "tcp", conn.LocalAddr().String()); err != nil {
		t.Errorf("the address is free for a listener: %v", err)
	} else {
		_ = listener.Close()
	}
	if _, err := s.Listen("x", "tcp", "127.0.0.1:0"); err == nil {
		t.Error("a socket of datagrams, named after a transport that listens, was taken for it")
	}
}
