package main

// What a person types, as the askers read it.

import (
	"bytes"
	"context"
	"os"
	"strings"
)

// keyboard reads from a terminal. Both askers read through the same one, and a
// read returns no more than a line, so that what was typed ahead answers the
// next question. A read ends when the context does. Not for several goroutines.
type keyboard struct {
	ctx   context.Context
	file  *os.File
	typed []byte         // read from the file, but not yet handed out
	reads chan keystroke // the result of the read under way; nil: there is none
}

// keystroke is the result of one read from the file.
type keystroke struct {
	typed []byte
	err   error
}

// newKeyboard returns a keyboard that reads from a terminal until the context
// ends; it does not close the file.
func newKeyboard(ctx context.Context, file *os.File) *keyboard {
	return &keyboard{ctx: ctx, file: file}
}

// Fd is the terminal's descriptor, on which survey sets the modes.
func (k *keyboard) Fd() uintptr { return k.file.Fd() }

// Read returns what is there, up to the end of a line. Its error is that of
// the file, or the cause of the context's end.
//
// A read from a terminal can't be cancelled. It goes on in a goroutine of its
// own, and a later Read takes its result; at most one is under way.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.typed) == 0 {
		if k.reads == nil {
			k.reads = make(chan keystroke, 1)
			go read(k.file, k.reads)
		}
		select {
		case <-k.ctx.Done():
			return 0, context.Cause(k.ctx)
		case stroke := <-k.reads:
			k.reads = nil
			if len(stroke.typed) == 0 {
				return 0, stroke.err
			}
			k.typed = stroke.typed
		}
	}
	end := len(k.typed)
	if i := bytes.IndexAny(k.typed, "\r\n"); i >= 0 {
		end = i + 1
	}
	n := copy(p, k.typed[:end])
	k.typed = k.typed[n:]
	return n, nil
}

// read sends the result of one read.
func read(file *os.File, to chan<- keystroke) {
	buf := make([]byte, 1024)
	n, err := file.Read(buf)
	to <- keystroke{buf[:n], err}
}

// line returns the next line without its end and without blanks around it. The
// error is io.EOF at the end of the input, be there a part of a line or not.
func (k *keyboard) line() (string, error) {
	var line []byte
	buf := make([]byte, 1024)
	for {
		n, err := k.Read(buf)
		if err != nil {
			return "", err
		}
		line = append(line, buf[:n]...)
		if last := line[len(line)-1]; last == '\n' || last == '\r' {
			return strings.TrimSpace(string(line)), nil
		}
	}
}
