package process

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// takeFromSupervisor takes what a supervisor passes by the protocols of
// sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3). None of it stays in
// the environment, where a job could take it for its own.
func (h *Handover) takeFromSupervisor() error {
	pid, count, names := takeVariable("LISTEN_PID"), takeVariable("LISTEN_FDS"), takeVariable("LISTEN_FDNAMES")
	takeVariable("LISTEN_PIDFDID")
	if pid == strconv.Itoa(os.Getpid()) && count != "" {
		if err := h.takeSockets(count, names); err != nil {
			return err
		}
	}
	watched, interval := takeVariable("WATCHDOG_PID"), takeVariable("WATCHDOG_USEC")
	if watched == "" || watched == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(interval, 10, 64); err == nil && usec > 0 {
			h.Watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return h.connectNotify(takeVariable("NOTIFY_SOCKET"))
}

func takeVariable(name string) string {
	value := os.Getenv(name)
	_ = os.Unsetenv(name) // fails only for an impossible name
	return value
}

// takeSockets takes the listening sockets that a supervisor has passed.
func (h *Handover) takeSockets(count, names string) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1024 {
		return fmt.Errorf("environment variable LISTEN_FDS: %q is no number of sockets", count)
	}
	labels := strings.Split(names, ":")
	for i := range n {
		label := ""
		if i < len(labels) {
			label = labels[i]
		}
		h.Add(activatedName(label, i), os.NewFile(uintptr(firstHanded+i), label))
	}
	return nil
}

// connectNotify connects to the socket of a supervisor, while there are the
// rights to do so.
func (h *Handover) connectNotify(address string) error {
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return nil // none, or of a kind that is not for processes of this machine
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("environment variable NOTIFY_SOCKET: %w", err)
	}
	defer func() { _ = conn.Close() }()
	file, err := duplicateSocket(conn)
	if err != nil {
		return fmt.Errorf("environment variable NOTIFY_SOCKET: %w", err)
	}
	h.Add(fdNotify, file)
	return nil
}

// Notifier tells a supervisor how the daemon does, by the protocol of
// sd_notify(3). A nil Notifier tells nobody. Its methods may be called from any
// goroutine; they return no error, since a supervisor that has gone is none to
// report to.
type Notifier struct{ conn net.Conn }

// Notifier takes over the connection to the supervisor; nil if there is none.
func (h *Handover) Notifier() (*Notifier, error) {
	file := h.Take(fdNotify)
	if file == nil {
		return nil, nil
	}
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("socket of the supervisor: %w", err)
	}
	return &Notifier{conn}, nil
}

// Ready says that the service is, at first and after a reload.
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+status) }

// Reloading says that a reload begins; Ready has to follow. The two lines have
// to be one message.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds()), "STATUS=reloading")
}

// Stopping says that the service ends, and will not come back by itself.
func (n *Notifier) Stopping() { n.send("STOPPING=1", "STATUS=draining") }

// Status says how the service does, in words for a person.
func (n *Notifier) Status(status string) { n.send("STATUS=" + status) }

// Extend asks for more time, to start or to stop: so much from now on.
func (n *Notifier) Extend(by time.Duration) {
	n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()))
}

// Alive is the sign of life for the watchdog.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

// MainPID says which process is the service from now on.
func (n *Notifier) MainPID(pid int) { n.send(fmt.Sprintf("MAINPID=%d", pid)) }

func (n *Notifier) send(lines ...string) {
	if n != nil {
		_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

// handOn gives the connection to the process that h describes.
func (n *Notifier) handOn(h *Handover) error {
	if n == nil {
		return nil
	}
	file, err := duplicateSocket(n.conn)
	if err != nil {
		return fmt.Errorf("socket of the supervisor: %w", err)
	}
	h.Add(fdNotify, file)
	return nil
}
