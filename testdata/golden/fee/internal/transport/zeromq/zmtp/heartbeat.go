// Heartbeats: PING, and PONG as the answer, in both directions.

package zmtp

import (
	"encoding/binary"
	"fmt"
	"time"
)

// maxPingContext is how many bytes of a PING come back with the PONG.
const maxPingContext = 16

// tenth of a second, the unit in which a PING says how long to wait.
const tenth = 100 * time.Millisecond

// answerPing answers a PING, and takes note of how long the peer wants to be
// waited for after it.
func (c *Conn) answerPing(body []byte) error {
	if len(body) < 2 || len(body) > 2+maxPingContext {
		return fmt.Errorf("%w: a PING of %d bytes", ErrProtocol, len(body))
	}
	if ttl := time.Duration(binary.BigEndian.Uint16(body)) * tenth; ttl != c.ttl {
		c.ttl, c.waiting = ttl, false
	}
	c.out.command(c.cipher, command("PONG", body[2:]))
	return nil
}

// heartbeats returns how long the peer may send nothing until it is asked for a
// sign of life, and until it is given up; 0 is for ever.
func (c *Conn) heartbeats() (interval, limit time.Duration) {
	limit = c.ttl
	if c.options.HeartbeatInterval == 0 || c.minor == 0 { // ZMTP 3.0 has no PING
		return 0, limit
	}
	if limit == 0 || c.options.HeartbeatTimeout < limit {
		limit = c.options.HeartbeatTimeout
	}
	return c.options.HeartbeatInterval, limit
}

// A wait is the time in which a peer sends nothing.
type wait struct {
	*Conn
	began time.Time
	pings time.Duration // how many were sent
}

// begin sets the time to wait, unless one is set. That is not done before each
// read because it costs as much as a message. So the time may be one of an earlier
// wait, and when it is over it need not be time for anything.
func (w *wait) begin() error {
	if w.waiting {
		return nil
	}
	w.waiting = true
	return w.over()
}

// over is called when the time that was to be waited is over: it sends a PING or
// gives the peer up, and sets the time to wait next.
func (w *wait) over() error {
	if w.interrupted.Load() {
		return ErrInterrupted
	}
	silent := time.Since(w.began)
	interval, limit := w.heartbeats()
	if limit > 0 && silent >= limit {
		return fmt.Errorf("%w for %s", ErrSilent, limit)
	}
	next := limit
	if interval > 0 {
		if due := silent / interval; due > w.pings {
			w.pings = due
			w.out.command(w.cipher, command("PING", w.lifetime()))
		}
		next = min(next, (w.pings+1)*interval)
	}
	return w.expire(next)
}

// lifetime is what a PING says of how long to wait for the next: as long as this
// side would.
func (c *Conn) lifetime() []byte {
	tenths := (c.options.HeartbeatTimeout + tenth - 1) / tenth
	return binary.BigEndian.AppendUint16(nil, uint16(min(tenths, 1<<16-1)))
}

// expire has reading fail when the wait has lasted so long; 0 is never.
func (w *wait) expire(after time.Duration) error {
	var at time.Time
	if after > 0 {
		at = w.began.Add(after)
	}
	if err := w.nc.SetReadDeadline(at); err != nil {
		return err
	}
	if w.interrupted.Load() { // and its deadline is the one that was just lost
		return ErrInterrupted
	}
	return nil
}
