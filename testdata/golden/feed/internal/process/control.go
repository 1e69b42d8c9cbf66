package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ControlRequest is what a command asks of the running daemon, a JSON object on
// a line through the control socket; the answer is another.
type ControlRequest struct {
	Command string `json:"command"`

	// Program is the path of the executable file to upgrade to.
	Program string `json:"program,omitempty"`

	// IDs are those of dead letters to try again; none: all.
	IDs []string `json:"ids,omitempty"`

	// Wait bounds how long the daemon may take; 0: as long as the asker stays.
	Wait time.Duration `json:"wait,omitempty"`

	// File is an open file that goes with the request, or nil: what the daemon
	// could not open. Files are others, by path: those of the configuration. Who gets
	// a request closes them.
	File  *os.File            `json:"-"`
	Files map[string]*os.File `json:"-"`
}

// Close closes the files of a request.
func (r *ControlRequest) Close() {
	if r.File != nil {
		_ = r.File.Close()
	}
	for _, file := range r.Files {
		_ = file.Close()
	}
}

// maxRequest is the size in bytes of the largest request.
const maxRequest = 4 << 20

// controlTimeout bounds how long a peer may take to say what it wants, and to
// read the answer.
const controlTimeout = 5 * time.Second

// BindControl makes the control socket in the run directory, for the process
// that h will start. The caller holds the lock of the pidfile, so a socket that
// is there is one that a dead daemon left.
func (h *Handover) BindControl() error {
	path := h.Dirs.Socket()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	short, release, err := shortPath(path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer release()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	defer func() { _ = listener.Close() }()
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	file, err := duplicateSocket(listener)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	h.Add(fdControl, file)
	return nil
}

// Control answers the commands of the service's owner, of its own user and of
// root, through the control socket.
type Control struct {
	listener net.Listener
	owner    int
	open     sync.WaitGroup
}

// Control takes over the control socket from the starter.
func (h *Handover) Control() (*Control, error) {
	file := h.Take(fdControl)
	defer func() { _ = file.Close() }()
	owner := os.Geteuid()
	if info, err := os.Stat(h.Dirs.Pidfile()); err == nil {
		owner = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Control{listener: listener, owner: owner}, nil
}

// Serve begins to call answer for each request, from a goroutine of its own, until
// Close; what answer returns is sent back as JSON. The context ends when the asker
// has gone away.
func (c *Control) Serve(answer func(ctx context.Context, r ControlRequest) any) {
	// It belongs to what Close waits for: who was let in last is waited for too.
	c.open.Go(func() { c.accept(answer) })
}

func (c *Control) accept(answer func(ctx context.Context, r ControlRequest) any) {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: the service goes on.
			time.Sleep(50 * time.Millisecond)
			continue
		}
		c.open.Go(func() { c.serve(conn.(*net.UnixConn), answer) })
	}
}

func (c *Control) serve(conn *net.UnixConn, answer func(context.Context, ControlRequest) any) {
	defer func() { _ = conn.Close() }()
	if !c.admits(conn) {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(controlTimeout))
	request, err := receive(conn)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = conn.SetReadDeadline(time.Time{})
	go func() {
		// The asker sends nothing more: this returns when it has gone.
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	}()
	reply := answer(ctx, request)
	_ = conn.SetWriteDeadline(time.Now().Add(controlTimeout))
	_ = json.NewEncoder(conn).Encode(reply)
}

// admits checks who asks; the mode of the socket is the first check.
func (c *Control) admits(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	uid := -1
	if err := raw.Control(func(fd uintptr) { uid, err = peerUID(fd) }); err != nil || uid < 0 {
		return false
	}
	return uid == 0 || uid == c.owner || uid == os.Geteuid()
}

// handOn gives the socket to the process that h describes.
func (c *Control) handOn(h *Handover) error {
	file, err := duplicateSocket(c.listener)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	h.Add(fdControl, file)
	return nil
}

// Retire leaves further requests to the process that took over. What is being
// answered goes on.
func (c *Control) Retire() error { return c.listener.Close() }

// Close stops listening and waits for the answers that are being given. It
// leaves the socket in the run directory, which may belong to another user; the
// next start replaces it.
func (c *Control) Close() error {
	err := c.listener.Close()
	c.open.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // retired
	}
	return err
}

// ErrNoAnswer means that nobody listens on the control socket.
var ErrNoAnswer = errors.New("the daemon does not answer on its control socket")

// Ask sends a request to the running daemon and decodes the answer into reply.
func Ask(ctx context.Context, dirs Dirs, request ControlRequest, reply any) error {
	short, release, err := shortPath(dirs.Socket())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer release()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", short)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := send(conn.(*net.UnixConn), request); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	if err := json.NewDecoder(conn).Decode(reply); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return nil
}

// maxSocketPath is what fits into sockaddr_un on every system.
const maxSocketPath = 100

// shortPath returns a path for a socket that fits into its address: the path
// itself, or one through a descriptor of its directory, which release closes.
func shortPath(path string) (short string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { _ = dir.Close() }, nil
}
