package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFramings(t *testing.T) {
	long := strings.Repeat("x", 10)
	for _, test := range []struct {
		framing, name, input string
		want                 []string
		rest                 int
		err                  error
	}{
		{framing: FramingLine, name: "nothing"},
		{framing: FramingLine, name: "lines", input: "one\ntwo\n", want: []string{"one", "two"}},
		{framing: FramingLine, name: "carriage returns", input: "one\r\ntwo\r\n", want: []string{"one", "two"}},
		{framing: FramingLine, name: "one carriage return is part of the end", input: "one\r\r\n", want: []string{"one\r"}},
		{framing: FramingLine, name: "a carriage return within", input: "one\rtwo\n", want: []string{"one\rtwo"}},
		{framing: FramingLine, name: "empty lines", input: "\n\r\n\n", want: []string{"", "", ""}},
		{framing: FramingLine, name: "any bytes", input: "\x00\xff0\n0\n", want: []string{"\x00\xff0", "0"}},
		{framing: FramingLine, name: "unfinished", input: "one\ntwo", want: []string{"one"}, rest: 3},
		{framing: FramingLine, name: "longest", input: long + "\n" + long + "\r\n", want: []string{long, long}},
		{framing: FramingLine, name: "longest, unfinished", input: long + "\r", rest: 11},
		{framing: FramingLine, name: "too long", input: "one\n" + long + "x\ntwo\n", want: []string{"one"}, rest: 16, err: errTooLong},
		{framing: FramingLine, name: "too long, unfinished", input: "one\n" + long + "xy", want: []string{"one"}, rest: 12, err: errTooLong},
		{framing: FramingLine, name: "too long by a carriage return", input: long + "\r\r\n", rest: 13, err: errTooLong},

		{framing: FramingLength, name: "nothing"},
		{framing: FramingLength, name: "messages", input: "\x00\x00\x00\x03one\x00\x00\x00\x03two", want: []string{"one", "two"}},
		{framing: FramingLength, name: "empty messages", input: "\x00\x00\x00\x00\x00\x00\x00\x00", want: []string{"", ""}},
		{framing: FramingLength, name: "any bytes", input: "\x00\x00\x00\x02\n\x00", want: []string{"\n\x00"}},
		{framing: FramingLength, name: "unfinished length", input: "\x00\x00\x00", rest: 3},
		{framing: FramingLength, name: "unfinished message", input: "\x00\x00\x00\x03on", rest: 6},
		{framing: FramingLength, name: "longest", input: "\x00\x00\x00\x0a" + long, want: []string{long}},
		{framing: FramingLength, name: "too long", input: "\x00\x00\x00\x00\x00\x00\x00\x0b", want: []string{""}, rest: 4, err: errTooLong},
		{framing: FramingLength, name: "longer than an int of 32 bits", input: "\xff\xff\xff\xff", rest: 4, err: errTooLong},
	} {
		t.Run(test.framing+", "+test.name, func(t *testing.T) {
			in := input{framing: framings[test.framing]}
			in.add([]byte(test.input))
			got, err := cut(&in, 10)
			if !slices.Equal(got, test.want) || !errors.Is(err, test.err) || in.rest() != test.rest {
				t.Errorf("%q, %d bytes left, %v; want %q, %d, %v", got, in.rest(), err, test.want, test.rest, test.err)
			}
		})
	}
}

// cut takes all messages from in.
func cut(in *input, limit int) (got []string, err error) {
	for {
		message, ok, err := in.next(limit)
		if !ok {
			return got, err
		}
		got = append(got, string(message))
	}
}

// A message that was given out stays as it is while others are read, and does not
// reach into them. Nothing is held when nothing is left.
func TestMessagesKeep(t *testing.T) {
	const limit = 3000
	for name, framing := range framings {
		in := input{framing: framing}
		var want, got [][]byte
		for i := range 500 {
			var sent []byte
			for j := range 2 {
				message := bytes.Repeat([]byte{byte('a' + (i+j)%26)}, i*i%limit)
				want = append(want, message)
				sent, _ = framing.appendReply(sent, message)
			}
			for len(sent) > 0 { // in parts, whose memory is used again
				part := sent[:min(len(sent), 1+i*7%997)]
				in.add(part)
				clear(part)
				sent = sent[len(part):]
			}
			for range 2 {
				message, ok, err := in.next(limit)
				if !ok || err != nil {
					t.Fatal(name, ok, err)
				}
				got = append(got, message)
				_ = append(message, "spoilt"...) // what a handler might do
			}
			if in.held != nil {
				t.Fatalf("%s: %d bytes are held for nothing", name, cap(in.held))
			}
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: message %d is %.20q…", name, i, got[i])
			}
		}
	}
}

// Input without the end of a message costs no more than twice what has come,
// whatever length the peer announces.
func TestInputBounded(t *testing.T) {
	const limit, part = 100 << 10, 1000
	for name, begin := range map[string][]byte{
		FramingLine:   nil,
		FramingLength: binary.BigEndian.AppendUint32(nil, limit),
	} {
		in := input{framing: framings[name]}
		in.add(begin)
		for sent := 0; sent < limit-part; sent += part {
			in.add(bytes.Repeat([]byte("x"), part))
			if _, ok, err := in.next(limit); ok || err != nil {
				t.Fatal(name, ok, err)
			}
			if room := cap(in.held); room > 2*(sent+part)+part {
				t.Fatalf("%s: room for %d bytes when %d had come", name, room, sent+part)
			}
		}
	}
}

func FuzzFraming(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nrest"), uint16(10), uint64(3))
	f.Add([]byte("\r\n\r\r\n\n\r"), uint16(0), uint64(1))
	f.Add(bytes.Repeat([]byte("0123456789\n"), 300), uint16(10), uint64(0xffff))
	f.Add(bytes.Repeat([]byte("x"), 700), uint16(600), uint64(12345))
	f.Add([]byte("\x00\x00\x00\x03one\x00\x00\x00\x00\x00\x00\x00\x02tw"), uint16(3), uint64(7))
	f.Add([]byte("\x7f\xff\xff\xffone"), uint16(100), uint64(9))
	f.Fuzz(func(t *testing.T, sent []byte, limit16 uint16, parts uint64) {
		limit := int(limit16)
		for name, split := range map[string]func([]byte, int) ([]string, error){
			FramingLine:   splitLines,
			FramingLength: splitLengths,
		} {
			want, wantErr := split(sent, limit)
			in := input{framing: framings[name]}
			var got []string
			var err error
			for rest := sent; len(rest) > 0 && err == nil; {
				parts = parts*6364136223846793005 + 1442695040888963407
				n := min(len(rest), 1+int(parts>>48)%max(1, len(sent)))
				in.add(rest[:n])
				rest = rest[n:]
				var more []string
				more, err = cut(&in, limit)
				got = append(got, more...)
			}
			if !slices.Equal(got, want) || !errors.Is(err, wantErr) {
				t.Errorf("%s: %q, %v; want %q, %v", name, got, err, want, wantErr)
			}
		}
	})
}

// splitLines is what lines do, in the simplest way.
func splitLines(sent []byte, limit int) (messages []string, err error) {
	parts := strings.Split(string(sent), "\n")
	for i, part := range parts {
		whole := i < len(parts)-1
		if whole {
			part = strings.TrimSuffix(part, "\r")
		}
		if len(part) > limit && (whole || len(part) > limit+1) {
			return messages, errTooLong
		}
		if whole {
			messages = append(messages, part)
		}
	}
	return messages, nil
}

// splitLengths is what lengths do, in the simplest way.
func splitLengths(sent []byte, limit int) (messages []string, err error) {
	for len(sent) >= 4 {
		length := uint64(sent[0])<<24 | uint64(sent[1])<<16 | uint64(sent[2])<<8 | uint64(sent[3])
		if length > uint64(limit) {
			return messages, errTooLong
		}
		if uint64(len(sent)-4) < length {
			break
		}
		messages = append(messages, string(sent[4:4+length]))
		sent = sent[4+length:]
	}
	return messages, nil
}

func TestAppendReply(t *testing.T) {
	for _, test := range []struct {
		framing, reply, want string
		changed              bool
	}{
		{FramingLine, "TRUE", "TRUE\n", false},
		{FramingLine, "", "\n", false},
		{FramingLine, "TRUE\n", "TRUE\n", false},
		{FramingLine, "TRUE\r\n", "TRUE\n", false},
		{FramingLine, "\n", "\n", false},
		{FramingLine, "a\nb", "a b\n", true},
		{FramingLine, "a\n\n", "a \n", true},
		{FramingLine, "{\n  \"a\": 1\n}\n", "{   \"a\": 1 }\n", true},
		{FramingLength, "", "\x00\x00\x00\x00", false},
		{FramingLength, "a\nb\n", "\x00\x00\x00\x04a\nb\n", false},
		{FramingLength, strings.Repeat("x", 300), "\x00\x00\x01\x2c" + strings.Repeat("x", 300), false},
	} {
		reply := []byte(test.reply)
		got, changed := framings[test.framing].appendReply([]byte("before\n"), reply)
		if string(got) != "before\n"+test.want || changed != test.changed {
			t.Errorf("%q becomes %q, %t; want %q, %t", test.reply, got, changed, test.want, test.changed)
		}
		if string(reply) != test.reply {
			t.Errorf("%q was changed to %q", test.reply, reply)
		}
	}
}
