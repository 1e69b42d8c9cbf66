// Sending, which never waits for the peer.

package zmtp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/fee/internal/transport/nonblock"
)

const (
	// maxKept is how large a buffer may be that is kept for what is sent next.
	maxKept = 16 << 10

	// maxWaitingCommands is how many commands may wait for a peer that does not
	// read. It learns nothing from more of them.
	maxWaitingCommands = 16
)

// output is what is to be sent to a peer. Whoever has something to send appends
// it, and tries to write it at once. What the kernel does not take then, a
// goroutine writes, of which there is one at most.
type output struct {
	nc      net.Conn
	raw     syscall.RawConn // nil: writing at once can't be tried
	timeout time.Duration
	onSent  func(messages int)

	mu       sync.Mutex
	try      func(fd uintptr) bool // once, in raw; leaves its result in tried
	tried    int
	triedErr error

	waiting  []byte // to be written
	messages int    // in waiting
	commands int    // in waiting
	writing  bool   // the goroutine is there
	failed   bool   // nothing is written any more
	failure  error  // why, if it was not the end of the connection
}

func (o *output) init(nc net.Conn, raw syscall.RawConn, options Options) {
	o.nc, o.raw, o.timeout, o.onSent = nc, raw, options.WriteTimeout, options.OnSent
	if o.onSent == nil {
		o.onSent = func(int) {}
	}
	o.try = func(fd uintptr) bool {
		o.tried, o.triedErr = nonblock.Write(fd, o.waiting)
		return true
	}
}

// Send sends a message: envelope and body are its frames. It returns at once, and
// needs them no more then. OnSent tells when the message is on its way.
func (c *Conn) Send(envelope [][]byte, body ...[]byte) {
	o := &c.out
	o.mu.Lock()
	if !o.failed {
		for _, frame := range envelope {
			o.append(c.cipher, flagMore, frame)
		}
		for i, frame := range body {
			var flags byte
			if i < len(body)-1 {
				flags = flagMore
			}
			o.append(c.cipher, flags, frame)
		}
	}
	o.messages++
	o.flush()
}

// Subscribe has a PUB send messages that begin with the topic.
func (c *Conn) Subscribe(topic []byte) { c.subscription("SUBSCRIBE", 1, topic) }

// Cancel undoes a Subscribe of the same topic.
func (c *Conn) Cancel(topic []byte) { c.subscription("CANCEL", 0, topic) }

// subscription sends a command to a peer of ZMTP 3.1, and to one of 3.0 the
// message that it has for it.
func (c *Conn) subscription(name string, first byte, topic []byte) {
	o := &c.out
	o.mu.Lock()
	if !o.failed {
		if c.minor >= 1 {
			o.append(c.cipher, flagCommand, command(name, topic))
		} else {
			o.append(c.cipher, 0, append([]byte{first}, topic...))
		}
	}
	o.flush()
}

// command sends a command that may be left out when many wait.
func (o *output) command(with *cipher, command []byte) {
	o.mu.Lock()
	if !o.failed && o.commands < maxWaitingCommands {
		o.append(with, flagCommand, command)
		o.commands++
	}
	o.flush()
}

func (o *output) append(with *cipher, flags byte, body []byte) {
	if with != nil {
		o.waiting = with.seal(o.waiting, flags, body)
		return
	}
	o.waiting = appendFrame(o.waiting, flags, body)
}

// flush begins to write what is waiting. It is called with o.mu held, and
// releases it.
func (o *output) flush() {
	if o.writing {
		o.mu.Unlock()
		return
	}
	if !o.failed {
		o.writeAtOnce()
	}
	sent := 0
	if len(o.waiting) == 0 {
		sent = o.reset()
	} else {
		o.writing = true
		go o.write()
	}
	o.mu.Unlock()
	if sent > 0 {
		o.onSent(sent)
	}
}

// reset is called when nothing is waiting, and returns how many messages were.
func (o *output) reset() (messages int) {
	if o.waiting = o.waiting[:0]; cap(o.waiting) > maxKept {
		o.waiting = nil
	}
	messages, o.messages, o.commands = o.messages, 0, 0
	return messages
}

// writeAtOnce writes what the kernel takes without waiting.
func (o *output) writeAtOnce() {
	if o.raw == nil || len(o.waiting) == 0 {
		return
	}
	err := o.raw.Write(o.try)
	if err == nil {
		err = o.triedErr
	}
	switch {
	case err == nil && o.tried == len(o.waiting):
		o.waiting = o.waiting[:0] // from the beginning of the buffer again
	case err == nil:
		o.waiting = o.waiting[o.tried:]
	case !errors.Is(err, syscall.EAGAIN):
		o.lose(err)
	}
}

// lose gives up what is waiting, and the connection: so the reading goroutine
// comes to know. The caller holds o.mu.
func (o *output) lose(err error) {
	if !o.failed {
		o.failed, o.failure = true, err
	}
	o.waiting = nil
	_ = o.nc.Close()
}

// lost is why lose was called; nil if it was not.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failure
}

// write writes until nothing is waiting.
func (o *output) write() {
	o.mu.Lock()
	for len(o.waiting) > 0 {
		out, messages := o.waiting, o.messages
		o.waiting, o.messages, o.commands = nil, 0, 0
		o.mu.Unlock()
		err := o.writeAll(out)
		o.onSent(messages)
		o.mu.Lock()
		if err != nil {
			o.lose(err)
		}
	}
	sent := o.reset()
	o.writing = false
	o.mu.Unlock()
	o.onSent(sent)
}

// writeAll writes to the peer, which has to take some of it within the timeout
// each time.
func (o *output) writeAll(out []byte) error {
	for {
		if err := o.nc.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
			return err
		}
		n, err := o.nc.Write(out)
		if err == nil {
			// Else writing at once would fail when the time has come.
			return o.nc.SetWriteDeadline(time.Time{})
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w for %s", ErrNotReading, o.timeout)
		}
		out = out[n:]
	}
}

// fail gives up what is waiting.
func (o *output) fail() {
	o.mu.Lock()
	o.failed = true
	o.waiting = nil
	o.flush()
}
