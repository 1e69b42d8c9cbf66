package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, size := range []int{0, 1, 255, 256, 65535, 1 << 30} {
		for _, flags := range []byte{0, flagMore, flagCommand} {
			b := appendHeader(nil, flags, size)
			h, ok, err := parseHeader(b)
			if err != nil || !ok || h.len != len(b) || h.size != uint64(size) || h.flags&^flagLong != flags {
				t.Errorf("%d bytes, flags %#x: %+v, %t, %v", size, flags, h, ok, err)
			}
			for n := range b {
				if _, ok, err := parseHeader(b[:n]); ok || err != nil {
					t.Errorf("%d bytes of % x are a header: %v", n, b, err)
				}
			}
		}
	}
}

func TestBadHeader(t *testing.T) {
	for flags := range 256 {
		_, _, err := parseHeader([]byte{byte(flags), 0, 0, 0, 0, 0, 0, 0, 0})
		good := flags < 8 && flags&(flagCommand|flagMore) != flagCommand|flagMore
		if good != (err == nil) || !good && !errors.Is(err, ErrProtocol) {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
}

// FuzzFrames reads frames from any bytes, in pieces of any size: what comes is
// within the limits, and does not depend on the pieces.
func FuzzFrames(f *testing.F) {
	var all []byte
	all = appendFrame(all, flagMore, nil)
	all = appendFrame(all, 0, []byte("body"))
	all = appendFrame(all, flagCommand, command("PING", []byte{0, 1, 'c'}))
	all = appendFrame(all, 0, bytes.Repeat([]byte("x"), 300))
	f.Add(all, byte(1))
	f.Add(all[:len(all)-1], byte(7))
	f.Add(append([]byte{flagLong}, binary.BigEndian.AppendUint64(nil, 1<<63-1)...), byte(3))
	f.Add(append([]byte{flagLong | flagCommand}, binary.BigEndian.AppendUint64(nil, 1<<64-1)...), byte(3))
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		whole, wholeErr := messages(t, b, len(b)+1)
		parts, partsErr := messages(t, b, int(piece)+1)
		if (wholeErr == nil) != (partsErr == nil) {
			t.Errorf("in one: %v, in pieces of %d: %v", wholeErr, piece, partsErr)
		}
		if len(whole) != len(parts) {
			t.Fatalf("%d messages in one, %d in pieces", len(whole), len(parts))
		}
		for i := range whole {
			if !bytes.Equal(bytes.Join(whole[i], []byte{0}), bytes.Join(parts[i], []byte{0})) {
				t.Errorf("message %d: %q in one, %q in pieces", i, whole[i], parts[i])
			}
		}
	})
}

// messages reads b as what comes after the handshake, at most so many bytes at a
// time.
func messages(t *testing.T, b []byte, piece int) (all [][][]byte, err error) {
	t.Helper()
	o := Options{MaxMessage: 1000, MaxFrames: 5}
	c := newConn(&script{input: b, piece: piece}, o)
	for {
		frames, ok, err := c.Next()
		if err != nil {
			return all, err
		}
		if ok {
			size := 0
			var kept [][]byte
			for _, frame := range frames {
				size += len(frame)
				kept = append(kept, frame)
			}
			if size > o.MaxMessage || len(frames) > o.MaxFrames {
				t.Errorf("a message of %d frames and %d bytes", len(frames), size)
			}
			all = append(all, kept)
			continue
		}
		if held := cap(c.in.buf); held > maxChunk+2*o.MaxMessage {
			t.Errorf("a buffer of %d bytes", held)
		}
		if err := c.Fill(); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
	}
}
