// The types of values beyond those that TOML has.

package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as [time.ParseDuration] reads it
// ("30s", "1h30m") and not negative.
type Duration time.Duration

// String returns the form that UnmarshalText reads.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`must be a duration such as "30s" or "1h30m", is %q`, text)
	}
	if parsed < 0 {
		return fmt.Errorf("must not be negative, is %s", parsed)
	}
	*d = Duration(parsed)
	return nil
}

// Size is a number of bytes, written plainly (65536) or with a unit ("64KiB",
// "1 MiB"), and not negative. The units are powers of 1024.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String returns the form that UnmarshalText reads, in the largest unit that
// leaves no fraction.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if n := int64(s); n != 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	digits, factor := string(text), int64(1)
	for _, unit := range sizeUnits {
		if number, ok := strings.CutSuffix(digits, unit.name); ok {
			digits, factor = strings.TrimRight(number, " "), unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return fmt.Errorf(`must be a size such as "64KiB", "1MiB" or "2GiB", is %q`, text)
	}
	if int64(n) > math.MaxInt64/factor {
		return fmt.Errorf("is too large: %q", text)
	}
	*s = Size(int64(n) * factor)
	return nil
}

func (s *Size) set(n int64) error {
	if n < 0 {
		return fmt.Errorf("must not be negative, is %d", n)
	}
	*s = Size(n)
	return nil
}

// Mode is the permission bits of files, or the bits that a umask takes away,
// written as a string of octal digits: "0027".
type Mode uint32

// String returns the form that UnmarshalText reads.
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o7777 {
		return fmt.Errorf(`must be octal digits, at most "7777", such as "0027", is %q`, text)
	}
	*m = Mode(n)
	return nil
}

// Path is the name of a file. Load makes it absolute: what is relative is meant
// from the directory of the configuration file. Empty stays empty.
type Path string
