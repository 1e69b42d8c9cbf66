// Reading.

package zmtp

// A chunk is what frames are read into and cut from. A small one costs a silent
// connection little, a large one saves a busy connection calls to the kernel; one
// that is left with less than minRead is replaced.
const (
	minRead  = 512
	minChunk = 2 << 10
	maxChunk = 16 << 10
)

// input holds what was read from a connection. What was cut off it is never
// written to again: what is left of a full chunk moves to a fresh one, and the
// old one is collected with the last frame that was cut from it.
type input struct {
	buf    []byte // read but not cut off; its capacity is the rest of the chunk
	want   int    // how long buf has to be for the next frame, as far as is known
	chunk  int    // size of the newest chunk
	filled bool   // the last read filled the chunk: more was waiting
}

// space returns where the next bytes are to be read to, at least one byte.
func (in *input) space() []byte {
	fits := len(in.buf) < in.want && in.want <= cap(in.buf)
	if cap(in.buf)-len(in.buf) < minRead && !fits {
		in.renew()
	}
	return in.buf[len(in.buf):cap(in.buf)]
}

// renew moves what is not cut off to a fresh chunk. The chunks of a connection
// grow while its reads fill them and shrink when they don't. For a large frame
// they double with what has arrived of it, whatever it has announced.
func (in *input) renew() {
	if in.filled {
		in.chunk = min(2*in.chunk, maxChunk)
	} else {
		in.chunk /= 2
	}
	in.chunk = max(in.chunk, minChunk)
	held := len(in.buf)
	size := max(in.chunk, held+minRead, min(2*held, in.want))
	in.buf = append(make([]byte, 0, size), in.buf...)
}

// read takes note that n bytes were read to the front of space.
func (in *input) read(n int) {
	in.buf = in.buf[:len(in.buf)+n]
	in.filled = len(in.buf) == cap(in.buf)
}

// cut cuts off the first n bytes, which are there.
func (in *input) cut(n int) []byte {
	b := in.buf[:n:n]
	in.buf, in.want = in.buf[n:], 0
	return b
}
