package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Sockets are the listening sockets of the service. One that the starter has
// bound, before it gave up its rights or for the daemon that takes over, is
// found here by its address; any other is bound when asked for. It may be used
// by many goroutines.
type Sockets struct {
	mu   sync.Mutex
	left map[string]*os.File // handed over, not asked for yet
}

// NewSockets takes over the listeners from h.
func NewSockets(h *Handover) *Sockets {
	s := &Sockets{left: make(map[string]*os.File)}
	for _, name := range slices.Clone(h.Names) {
		if strings.HasPrefix(name, "listen ") {
			s.left[name] = h.Take(name)
		}
	}
	return s
}

func socketName(network, address string) string { return "listen " + network + " " + address }

// Bind listens on the address, for the process that h will start. The caller
// closes h when that process has started.
func (h *Handover) Bind(network, address string) error {
	listener, err := listen(network, address)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	file, err := listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return fmt.Errorf("listen on %s %s: %w", network, address, err)
	}
	h.Add(socketName(network, address), file)
	return nil
}

// Listen returns the listener that was handed over for the address, or binds
// it. The caller closes the listener.
func (s *Sockets) Listen(network, address string) (net.Listener, error) {
	s.mu.Lock()
	name := socketName(network, address)
	file := s.left[name]
	delete(s.left, name)
	s.mu.Unlock()
	if file == nil {
		return listen(network, address)
	}
	defer func() { _ = file.Close() }()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listen on %s %s: take over the socket: %w", network, address, err)
	}
	return listener, nil
}

// Close closes the sockets that nobody asked for.
func (s *Sockets) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, file := range s.left {
		_ = file.Close()
		delete(s.left, name)
	}
}

// ErrAddressInUse means that another process listens on the address.
var ErrAddressInUse = errors.New("the address is in use")

func listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, ErrAddressInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, err)
	}
	return listener, nil
}
