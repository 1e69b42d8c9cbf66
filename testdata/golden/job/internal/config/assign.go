// From the values of TOML and the texts of the environment to fields.

package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// assign stores a value of the TOML library in a field. The library could do so
// itself, but takes 30 for a Duration as 30 ns, does not ask a string type to
// read itself, and stops at the first fault.
func assign(field reflect.Value, value any) error {
	if target := textTarget(field); target != nil {
		switch value := value.(type) {
		case string:
			return target.UnmarshalText([]byte(value))
		case int64:
			if size, ok := target.(*Size); ok {
				return size.set(value)
			}
		}
		return mismatch(field, value)
	}
	switch field.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			field.SetString(s)
			return nil
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			field.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := value.(int64); ok {
			return assignInt(field, n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := value.(int64); ok {
			return assignUint(field, n)
		}
	case reflect.Float32, reflect.Float64:
		switch n := value.(type) {
		case int64:
			return assignFloat(field, float64(n))
		case float64:
			return assignFloat(field, n)
		}
	case reflect.Slice:
		if list, ok := value.([]any); ok {
			return assignList(field, list, assign)
		}
	case reflect.Map:
		if table, ok := value.(map[string]any); ok {
			return assignMap(field, table)
		}
	}
	return mismatch(field, value)
}

func assignInt(field reflect.Value, n int64) error {
	if field.OverflowInt(n) {
		most := int64(1)<<(field.Type().Bits()-1) - 1
		return fmt.Errorf("must be from %d to %d, is %d", -most-1, most, n)
	}
	field.SetInt(n)
	return nil
}

func assignUint(field reflect.Value, n int64) error {
	if n < 0 || field.OverflowUint(uint64(n)) {
		return fmt.Errorf("must be from 0 to %d, is %d", uint64(math.MaxUint64)>>(64-field.Type().Bits()), n)
	}
	field.SetUint(uint64(n))
	return nil
}

func assignFloat(field reflect.Value, n float64) error {
	if math.IsNaN(n) || math.IsInf(n, 0) || field.OverflowFloat(n) {
		return fmt.Errorf("must be a finite number, is %v", n)
	}
	field.SetFloat(n)
	return nil
}

// assignList stores the items one by one, each with the function.
func assignList[T any](field reflect.Value, items []T, assign func(reflect.Value, T) error) error {
	list := reflect.MakeSlice(field.Type(), len(items), len(items))
	for i, item := range items {
		if err := assign(list.Index(i), item); err != nil {
			return fmt.Errorf("item %d %w", i+1, err)
		}
	}
	field.Set(list)
	return nil
}

// assignMap replaces the contents; the keys of the map are strings.
func assignMap(field reflect.Value, table map[string]any) error {
	t := field.Type()
	if t.Key().Kind() != reflect.String {
		return mismatch(field, table)
	}
	m := reflect.MakeMapWithSize(t, len(table))
	for name, value := range table {
		item := reflect.New(t.Elem()).Elem()
		if err := assign(item, value); err != nil {
			return fmt.Errorf("%s %w", join([]string{name}), err)
		}
		m.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), item)
	}
	field.Set(m)
	return nil
}

// assignText stores the text of an environment variable in a field.
func assignText(field reflect.Value, text string) error {
	if target := textTarget(field); target != nil {
		return target.UnmarshalText([]byte(text))
	}
	switch field.Kind() {
	case reflect.Bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return assign(field, b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return assign(field, n)
		}
	case reflect.Float32, reflect.Float64:
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return assign(field, n)
		}
	case reflect.Slice:
		var items []string
		if text != "" {
			items = strings.Split(text, ",")
		}
		return assignList(field, items, func(item reflect.Value, text string) error {
			return assignText(item, strings.TrimSpace(text))
		})
	case reflect.Map:
		return errors.New("is a table, which the environment can't set")
	default:
		return assign(field, text)
	}
	return fmt.Errorf("must be %s, is %q", wanted(field), text)
}

// textTarget returns the field as what reads itself from text, or nil. A plain
// time.Duration is read like a Duration.
func textTarget(field reflect.Value) encoding.TextUnmarshaler {
	switch p := field.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p
	case *time.Duration:
		return (*Duration)(p)
	}
	return nil
}

// mismatch says what a field takes and what it was given, never the value: it
// may be a secret at the wrong place.
func mismatch(field reflect.Value, value any) error {
	if wanted := wanted(field); wanted != "" {
		return fmt.Errorf("must be %s, is %s", wanted, kindOf(value))
	}
	return fmt.Errorf("has the Go type %s, which no value fits", field.Type())
}

// wanted says what a field takes; it is empty if that is nothing.
func wanted(field reflect.Value) string {
	switch textTarget(field).(type) {
	case nil:
	case *Duration:
		return `a string such as "30s"`
	case *Mode:
		return `a string such as "0027"`
	case *Size:
		return `a string such as "64KiB", or an integer`
	default:
		return "a string"
	}
	switch field.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a table"
	default:
		return ""
	}
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date or time"
	}
}
