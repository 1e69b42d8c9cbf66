package tcp

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 10)
	for _, test := range []struct {
		name, input string
		want        []string
		rest        int
		err         error
	}{
		{name: "nothing"},
		{name: "lines", input: "one\ntwo\n", want: []string{"one", "two"}},
		{name: "carriage returns", input: "one\r\ntwo\r\n", want: []string{"one", "two"}},
		{name: "one carriage return is part of the end", input: "one\r\r\n", want: []string{"one\r"}},
		{name: "a carriage return within", input: "one\rtwo\n", want: []string{"one\rtwo"}},
		{name: "empty lines", input: "\n\r\n\n", want: []string{"", "", ""}},
		{name: "any bytes", input: "\x00\xff0\n0\n", want: []string{"\x00\xff0", "0"}},
		{name: "unfinished", input: "one\ntwo", want: []string{"one"}, rest: 3},
		{name: "longest", input: long + "\n" + long + "\r\n", want: []string{long, long}},
		{name: "longest, unfinished", input: long + "\r", rest: 11},
		{name: "too long", input: "one\n" + long + "x\ntwo\n", want: []string{"one"}, rest: 16, err: errTooLong},
		{name: "too long, unfinished", input: "one\n" + long + "xy", want: []string{"one"}, rest: 12, err: errTooLong},
		{name: "too long by a carriage return", input: long + "\r\r\n", rest: 13, err: errTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l lines
			feed(&l, []byte(test.input), 10)
			got, err := cut(&l, 10)
			if !slices.Equal(got, test.want) || !errors.Is(err, test.err) || l.rest() != test.rest {
				t.Errorf("%q, %d bytes left, %v; want %q, %d, %v", got, l.rest(), err, test.want, test.rest, test.err)
			}
		})
	}
}

// feed adds input to l, as reads would.
func feed(l *lines, input []byte, limit int) {
	for len(input) > 0 {
		n := copy(l.space(limit), input)
		l.read(n)
		input = input[n:]
	}
}

// cut takes all lines from l.
func cut(l *lines, limit int) (got []string, err error) {
	for {
		line, ok, err := l.next(limit)
		if !ok {
			return got, err
		}
		got = append(got, string(line))
	}
}

// A line that was given out stays as it is while others are read, and does not
// reach into them.
func TestLinesKeep(t *testing.T) {
	const limit = 3000
	var l lines
	var want, got [][]byte
	for i := range 500 {
		for j := range 2 {
			line := bytes.Repeat([]byte{byte('a' + (i+j)%26)}, i*i%limit)
			want = append(want, line)
			feed(&l, append(slices.Clone(line), '\n'), limit)
		}
		for range 2 {
			line, ok, err := l.next(limit)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			got = append(got, line)
			_ = append(line, "spoilt"...) // what a handler might do
		}
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("line %d is %.20q…", i, got[i])
		}
	}
}

// Input without a line end costs no more than twice the longest line.
func TestLinesBounded(t *testing.T) {
	const limit = 100 << 10
	var l lines
	for {
		space := l.space(limit)
		if room := len(l.buf) + len(space); room > 2*limit {
			t.Fatalf("%d bytes for a line of %d", room, limit)
		}
		l.read(min(len(space), 1000))
		if _, _, err := l.next(limit); err != nil {
			return
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nrest"), uint16(10), uint64(3))
	f.Add([]byte("\r\n\r\r\n\n\r"), uint16(0), uint64(1))
	f.Add(bytes.Repeat([]byte("0123456789\n"), 300), uint16(10), uint64(0xffff))
	f.Add(bytes.Repeat([]byte("x"), 700), uint16(600), uint64(12345))
	f.Fuzz(func(t *testing.T, input []byte, limit16 uint16, chunks uint64) {
		limit := int(limit16)
		want, wantErr := split(input, limit)
		var l lines
		var got []string
		var err error
		for rest := input; len(rest) > 0 && err == nil; {
			chunks = chunks*6364136223846793005 + 1442695040888963407
			n := min(len(rest), 1+int(chunks>>48)%max(1, len(input)))
			feed(&l, rest[:n], limit)
			rest = rest[n:]
			var more []string
			more, err = cut(&l, limit)
			got = append(got, more...)
		}
		if !slices.Equal(got, want) || !errors.Is(err, wantErr) {
			t.Errorf("%q, %v; want %q, %v", got, err, want, wantErr)
		}
	})
}

// split is what lines does, in the simplest way.
func split(input []byte, limit int) (lines []string, err error) {
	parts := strings.Split(string(input), "\n")
	for i, part := range parts {
		whole := i < len(parts)-1
		if whole {
			part = strings.TrimSuffix(part, "\r")
		}
		if len(part) > limit && (whole || len(part) > limit+1) {
			return lines, errTooLong
		}
		if whole {
			lines = append(lines, part)
		}
	}
	return lines, nil
}

func TestAppendReply(t *testing.T) {
	for _, test := range []struct {
		reply, want string
		joined      bool
	}{
		{"TRUE", "TRUE\n", false},
		{"", "\n", false},
		{"TRUE\n", "TRUE\n", false},
		{"TRUE\r\n", "TRUE\n", false},
		{"\n", "\n", false},
		{"a\nb", "a b\n", true},
		{"a\n\n", "a \n", true},
		{"{\n  \"a\": 1\n}\n", "{   \"a\": 1 }\n", true},
	} {
		reply := []byte(test.reply)
		got, joined := appendReply([]byte("before\n"), reply)
		if string(got) != "before\n"+test.want || joined != test.joined {
			t.Errorf("%q becomes %q, %t; want %q, %t", test.reply, got, joined, test.want, test.joined)
		}
		if string(reply) != test.reply {
			t.Errorf("%q was changed to %q", test.reply, reply)
		}
	}
}
