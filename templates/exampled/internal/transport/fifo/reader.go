// Reading one fifo, and what becomes of its lines.

package fifo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/filelock"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

const (
	// chunk is how much is read at a time: what a pipe holds.
	chunk = 64 << 10

	// turn is how often to look whether another process still reads the fifo.
	turn = 10 * time.Millisecond

	// lineTime is how long to wait for the rest of a line that has begun, when
	// another process is to read what follows.
	lineTime = time.Second
)

// A reader reads one fifo.
type reader struct {
	t    *Transport
	pipe *pipe

	once     sync.Once
	ending   chan struct{} // closed by end
	handOver bool          // before that: another process goes on reading
}

// end has the reader end. It may be called at any time.
func (r *reader) end(handOver bool) {
	r.once.Do(func() {
		r.handOver = handOver
		close(r.ending)
		r.pipe.interrupt()
	})
}

// serve takes lines to the queue until the reader is to end.
func (r *reader) serve(ctx context.Context, queue transport.Queue) {
	if !r.lock() {
		return
	}
	defer func() { _ = filelock.Unlock(r.pipe.File) }()
	var l lines
	buffer := make([]byte, chunk)
	for {
		n, err := r.pipe.Read(buffer)
		l.add(buffer[:n])
		r.take(ctx, queue, &l)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if errors.Is(err, fs.ErrClosed) {
			return
		}
		if err != nil {
			r.t.fail(r, err)
			return
		}
	}
	if r.handOver {
		r.finishLine(&l)
	} else {
		r.empty(ctx, queue, &l)
	}
	r.take(ctx, queue, &l)
	if len(l.buffer) > 0 {
		r.t.log.Warn("the end of a line is missing: it is dropped", "bytes", len(l.buffer))
	}
}

// lock waits until no other process reads the fifo: two that do would each get
// parts of lines. One that is to stop waits as well, for as long as the other may
// take to finish its line: then what is in the pipe has no other reader.
func (r *reader) lock() bool {
	told := false
	ending, patience := r.ending, (<-chan time.Time)(nil)
	for {
		ok, err := filelock.Try(r.pipe.File)
		if err != nil {
			r.t.fail(r, fmt.Errorf("lock the fifo: %w", err))
			return false
		}
		if ok {
			return true
		}
		if !told {
			told = true
			r.t.log.Info("another process reads the fifo still")
		}
		select {
		case <-time.After(turn):
		case <-ending:
			if r.handOver {
				return false
			}
			ending, patience = nil, time.After(2*lineTime)
		case <-patience:
			return false
		}
	}
}

// finishLine reads the rest of a line that has begun, and no more than that.
func (r *reader) finishLine(l *lines) {
	var one [1]byte
	for deadline := time.Now().Add(lineTime); !l.isWhole() && one[0] != '\n' && time.Now().Before(deadline); {
		n, err := r.pipe.readNow(one[:])
		if err != nil {
			return
		}
		if n == 0 {
			time.Sleep(time.Millisecond)
		}
		l.add(one[:n])
	}
}

// empty reads what is in the pipe. It would be lost when the last process that has
// it open closes it.
func (r *reader) empty(ctx context.Context, queue transport.Queue, l *lines) {
	buffer := make([]byte, chunk)
	// As much as fits in once more: who writes on and on would keep us.
	for range 2 {
		n, err := r.pipe.readNow(buffer)
		if n == 0 || err != nil {
			return
		}
		l.add(buffer[:n])
		r.take(ctx, queue, l)
	}
}

// take hands the lines that are complete to the queue. Those that it does not take
// are kept.
func (r *reader) take(ctx context.Context, queue transport.Queue, l *lines) {
	all := l.cut(r.t.limit())
	if l.dropped > 0 {
		r.t.log.Warn("lines longer than max_message are dropped", "lines", l.dropped)
	}
	r.t.submit(ctx, queue, all, nil)
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	r.t.counts.taken += uint64(len(all))
	r.t.counts.dropped += uint64(l.dropped)
	l.dropped = 0
}

// submit hands lines to the queue; done is called for each that needs no more care.
func (t *Transport) submit(ctx context.Context, queue transport.Queue, all [][]byte, done func()) {
	messages := make([]transport.Message, len(all))
	for i, line := range all {
		messages[i] = &message{t, line, done}
	}
	t.pending.Add(len(messages))
	n, _ := queue.Submit(ctx, messages) // short of all only when the service stops
	for _, m := range messages[n:] {
		m.Settle(nil, transport.ErrStopped)
	}
}

// takeLeft hands over what an earlier process has kept.
func (t *Transport) takeLeft() {
	all, err := takeLeft(t.stateDir)
	if err != nil {
		t.log.Error("lines that were kept at the last stop can't be read, and stay", "error", err)
		return
	}
	for _, l := range all {
		t.log.Info("lines that were kept at the last stop are handled", "lines", len(l.lines))
		var open sync.WaitGroup
		open.Add(len(l.lines))
		t.submit(t.ctx, t.queue, l.lines, open.Done)
		t.reading.Go(func() {
			open.Wait()
			if err := l.remove(); err != nil {
				t.log.Error("lines that were handled will be again", "error", err)
			}
		})
	}
}

// message is a line on its way.
type message struct {
	t    *Transport
	line []byte
	done func() // nil: nobody asks
}

// Body implements transport.Message.
func (m *message) Body() []byte { return m.line }

// Settle implements transport.Message.
func (m *message) Settle(_ []byte, err error) {
	defer m.t.pending.Done()
	if errors.Is(err, transport.ErrStopped) {
		m.t.mu.Lock()
		m.t.back = append(m.t.back, m.line)
		m.t.mu.Unlock()
	}
	if m.done != nil {
		m.done()
	}
}
