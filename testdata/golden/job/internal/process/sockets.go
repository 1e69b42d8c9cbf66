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

// Sockets are the sockets that peers know the service by: those that listen, and
// those that take datagrams. One that the starter has
// bound, before it gave up its rights, that a supervisor has passed, or that the
// process before this one has served, is found here by its address or its name;
// any other is bound when asked for. It may be used by many goroutines.
type Sockets struct {
	dirs Dirs

	mu     sync.Mutex
	left   []handedSocket // not asked for yet
	served []servedSocket // asked for; some may be closed by now
}

// handedSocket is a socket that was handed over.
type handedSocket struct {
	network, address string // as it was asked for; "" for one that a supervisor has passed
	label            string // of the supervisor
	file             *os.File
}

type servedSocket struct {
	network, address string
	socket           socket
}

// A socket is a net.Listener or, if its network is one of datagrams, a
// net.PacketConn.
type socket interface{ Close() error }

func hasDatagrams(network string) bool {
	return strings.HasPrefix(network, "udp") || network == "unixgram"
}

// socketPrefix begins the name of a descriptor that was bound for an address,
// activatedPrefix of one that a supervisor has passed.
const (
	socketPrefix    = "listen "
	activatedPrefix = "activated "
)

func socketName(network, address string) string { return socketPrefix + network + " " + address }

func activatedName(label string, n int) string {
	return fmt.Sprintf("%s%d %s", activatedPrefix, n, label)
}

// NewSockets takes over the listeners from h.
func NewSockets(h *Handover) *Sockets {
	s := &Sockets{dirs: h.Dirs}
	for _, name := range slices.Clone(h.Names) {
		if what, ok := strings.CutPrefix(name, socketPrefix); ok {
			network, address, _ := strings.Cut(what, " ")
			s.left = append(s.left, handedSocket{network: network, address: address, file: h.Take(name)})
		}
		if what, ok := strings.CutPrefix(name, activatedPrefix); ok {
			_, label, _ := strings.Cut(what, " ")
			s.left = append(s.left, handedSocket{label: label, file: h.Take(name)})
		}
	}
	return s
}

// find returns which of the sockets that were handed over serves the address for
// owner, or -1: the one bound for it, the one that a supervisor has named after
// the owner, or one that a supervisor has bound to the address.
func find(handed []handedSocket, owner, network, address string) int {
	for _, fits := range []func(handedSocket) bool{
		func(s handedSocket) bool { return s.network == network && s.address == address },
		func(s handedSocket) bool { return s.network == "" && s.label == owner },
		func(s handedSocket) bool { return s.network == "" && boundTo(s.file, network, address) },
	} {
		if i := slices.IndexFunc(handed, fits); i >= 0 {
			return i
		}
	}
	return -1
}

// boundTo reports whether the socket serves the address.
func boundTo(file *os.File, network, address string) bool {
	socket, err := fileSocket(file, network)
	if err != nil {
		return false
	}
	defer func() { _ = closeShared(socket) }()
	switch have := localAddress(socket).(type) {
	case *net.TCPAddr:
		wanted, err := net.ResolveTCPAddr(network, address)
		return err == nil && wanted.Port == have.Port && covers(have.IP, wanted.IP)
	case *net.UDPAddr:
		wanted, err := net.ResolveUDPAddr(network, address)
		return err == nil && wanted.Port == have.Port && covers(have.IP, wanted.IP)
	default:
		return have.String() == address
	}
}

// covers reports whether a socket with the address have serves the address wanted,
// which is nil for all addresses of the machine.
func covers(have, wanted net.IP) bool {
	return wanted.Equal(have) || wanted == nil && have.IsUnspecified()
}

func localAddress(s socket) net.Addr {
	switch s := s.(type) {
	case net.Listener:
		return s.Addr()
	case net.PacketConn:
		return s.LocalAddr()
	default:
		panic(fmt.Sprintf("%T is no socket", s))
	}
}

// fileSocket makes a socket of a descriptor, which stays the caller's.
func fileSocket(file *os.File, network string) (socket, error) {
	if hasDatagrams(network) {
		return net.FilePacketConn(file)
	}
	return net.FileListener(file)
}

// closeShared closes a socket that another process may serve.
func closeShared(s socket) error {
	if unix, ok := s.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	return s.Close()
}

// Bind makes a socket of the address for the transport called owner, for the process
// that h will start, and returns what it has bound: nil if h has a socket for that
// already. The caller holds the lock of the pidfile, and closes h when that process
// has started.
func (h *Handover) Bind(owner, network, address string) (net.Addr, error) {
	given := address
	address = h.Dirs.address(network, given)
	var handed []handedSocket
	for i, name := range h.Names {
		if what, ok := strings.CutPrefix(name, activatedPrefix); ok {
			_, label, _ := strings.Cut(what, " ")
			handed = append(handed, handedSocket{label: label, file: h.files[i]})
		}
	}
	if find(handed, owner, network, address) >= 0 {
		return nil, nil
	}
	if address != given {
		// Who holds the lock need not ask whether anybody listens, which the user
		// of the dead service may have the right to, but not its starter.
		if err := removeSocket(address); err != nil {
			return nil, fmt.Errorf("listen on %s %s: %w", network, address, err)
		}
	}
	socket, err := bind(network, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = closeShared(socket) }()
	file, err := duplicateSocket(socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, err)
	}
	h.Add(socketName(network, address), file)
	return localAddress(socket), nil
}

// Listen returns the listener for the transport called owner: that which was
// handed over, or a new one on the address. The relative path of a unix socket is
// in the run directory. The caller closes the listener, which removes the file of
// a unix socket that no other process listens on.
func (s *Sockets) Listen(owner, network, address string) (net.Listener, error) {
	return open[net.Listener](s, owner, network, address)
}

// ListenPacket is Listen for a network of datagrams.
func (s *Sockets) ListenPacket(owner, network, address string) (net.PacketConn, error) {
	return open[net.PacketConn](s, owner, network, address)
}

func open[T socket](s *Sockets, owner, network, address string) (opened T, err error) {
	address = s.dirs.address(network, address)
	s.mu.Lock()
	defer s.mu.Unlock()
	socket, err := s.take(owner, network, address)
	if socket == nil && err == nil {
		socket, err = bind(network, address)
	}
	if err != nil {
		return opened, err
	}
	opened, ok := forAll(socket).(T)
	if !ok {
		return opened, errors.Join(fmt.Errorf("listen on %s %s: a %T, not what was asked for", network, address, socket), socket.Close())
	}
	s.served = slices.DeleteFunc(s.served, func(s servedSocket) bool { return isClosed(s.socket) })
	s.served = append(s.served, servedSocket{network, address, opened})
	return opened, nil
}

// take makes a socket of one that was handed over; nil if there is none.
func (s *Sockets) take(owner, network, address string) (socket, error) {
	i := find(s.left, owner, network, address)
	if i < 0 {
		return nil, nil
	}
	file := s.left[i].file
	s.left = slices.Delete(s.left, i, i+1)
	defer func() { _ = file.Close() }()
	socket, err := fileSocket(file, network)
	if err != nil {
		return nil, fmt.Errorf("listen on %s %s: take over the socket: %w", network, address, err)
	}
	return socket, nil
}

// duplicateSocket returns another descriptor of a socket of package net. Its own
// method File would in the end put the socket, which this process serves on, into
// blocking mode: a goroutine in Accept could not be interrupted any more.
func duplicateSocket(socket any) (*os.File, error) {
	source, ok := socket.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T has no descriptor", socket)
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var copyErr error
	err = raw.Control(func(fd uintptr) { copied, copyErr = duplicateAbove(fd) })
	if err := errors.Join(err, copyErr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), "socket"), nil
}

// isClosed reports whether its owner has closed the socket.
func isClosed(s socket) bool {
	source, ok := s.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := source.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// handOn gives all sockets that are open to the process that h describes; they
// stay open here.
func (s *Sockets) handOn(h *Handover) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, served := range s.served {
		if isClosed(served.socket) {
			continue
		}
		file, err := duplicateSocket(served.socket)
		if err != nil {
			return fmt.Errorf("hand on the socket of %s %s: %w", served.network, served.address, err)
		}
		h.Add(socketName(served.network, served.address), file)
	}
	return nil
}

// Close closes the sockets that nobody asked for, and names those that a
// supervisor has passed: its configuration and ours do not agree.
func (s *Sockets) Close() (unused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.left {
		if socket.network == "" {
			unused = append(unused, socket.label)
		}
		_ = socket.file.Close()
	}
	s.left = nil
	return unused
}

// ErrAddressInUse means that another process has the address; it is a
// syscall.EADDRINUSE, in words.
var ErrAddressInUse error = addressInUse{}

type addressInUse struct{}

func (addressInUse) Error() string { return "the address is in use" }

func (addressInUse) Is(target error) bool { return target == syscall.EADDRINUSE }

func bind(network, address string) (made socket, err error) {
	switch {
	case hasDatagrams(network):
		made, err = net.ListenPacket(network, address)
	case network == "unix":
		made, err = listenUnix(address)
	default:
		made, err = net.Listen(network, address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = ErrAddressInUse
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, err)
	}
	return made, nil
}
