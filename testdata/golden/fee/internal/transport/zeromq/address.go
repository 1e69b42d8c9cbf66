// Addresses in the form of ZeroMQ.

package zeromq

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// address is a place to listen on or to connect to, in the terms of net.Listen.
type address struct{ network, address string }

// maxPath is the length of the longest path of a socket on every system that the
// service is built for.
const maxPath = 103

// parseAddress reads tcp://HOST:PORT or ipc:///PATH. The HOST "*" is every
// address of the machine, and the PORT "*", as the PORT 0, a free one.
func parseAddress(text string) (address, error) {
	if path, ok := strings.CutPrefix(text, "ipc://"); ok {
		switch {
		case !filepath.IsAbs(path) || filepath.Clean(path) != path:
			return address{}, fmt.Errorf("must be ipc:// and an absolute path, such as ipc:///run/feed/feed.ipc, is %q", text)
		case len(path) > maxPath:
			return address{}, fmt.Errorf("must have a path of at most %d bytes, has %d: %q", maxPath, len(path), text)
		}
		return address{"unix", path}, nil
	}
	wrong := fmt.Errorf("must be tcp://HOST:PORT or ipc:///PATH, such as tcp://127.0.0.1:5555, is %q", text)
	rest, ok := strings.CutPrefix(text, "tcp://")
	if !ok {
		return address{}, wrong
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return address{}, wrong
	}
	if port == "*" {
		port = "0"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, fmt.Errorf("must end in a port from 0 to 65535, or in *, is %q", text)
	}
	switch _, err := netip.ParseAddr(host); {
	case host == "*":
		host = ""
	case err != nil && !isHostName(host):
		return address{}, fmt.Errorf("must have an address or the name of a host, or *, is %q", text)
	}
	return address{"tcp", net.JoinHostPort(host, port)}, nil
}

// canConnect reports whether there can be somebody at the address.
func (a address) canConnect() bool {
	host, port, _ := net.SplitHostPort(a.address)
	return a.network != "tcp" || host != "" && strings.Trim(port, "0") != ""
}

func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	// What looks like an address in figures must be one.
	return strings.Trim(s, "0123456789.") != ""
}

// textOf is the address of a socket in the form of ZeroMQ.
func textOf(a net.Addr) string {
	if a.Network() == "unix" {
		return "ipc://" + a.String()
	}
	return a.Network() + "://" + a.String()
}

// shorten leaves the names of system calls, and what is known anyway, out of an
// error of package net.
func shorten(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}
