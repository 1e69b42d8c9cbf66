package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	tests := []struct {
		text   string
		target encoding.TextUnmarshaler
		want   string // of String; "": refused
	}{
		{"30s", new(Duration), "30s"},
		{"1h30m", new(Duration), "1h30m0s"},
		{"0", new(Duration), "0s"},
		{"1.5ms", new(Duration), "1.5ms"},
		{"-1ns", new(Duration), ""},
		{"30", new(Duration), ""},
		{"", new(Duration), ""},
		{"1e9s", new(Duration), ""},

		{"0", new(Size), "0B"},
		{"1000", new(Size), "1000B"},
		{"65536", new(Size), "64KiB"},
		{"64KiB", new(Size), "64KiB"},
		{"64 KiB", new(Size), "64KiB"},
		{"512B", new(Size), "512B"},
		{"1024MiB", new(Size), "1GiB"},
		{"3TiB", new(Size), "3TiB"},
		{"9223372036854775807", new(Size), "9223372036854775807B"},
		{"9223372036854775808", new(Size), ""},
		{"8388608TiB", new(Size), ""},
		{"8388607TiB", new(Size), "8388607TiB"},
		{"-1", new(Size), ""},
		{"+1", new(Size), ""},
		{"1.5MiB", new(Size), ""},
		{"64kib", new(Size), ""},
		{"64KB", new(Size), ""},
		{"KiB", new(Size), ""},
		{"", new(Size), ""},

		{"0027", new(Mode), "0027"},
		{"27", new(Mode), "0027"},
		{"7777", new(Mode), "7777"},
		{"0", new(Mode), "0000"},
		{"10000", new(Mode), ""},
		{"0o27", new(Mode), ""},
		{"0028", new(Mode), ""},
		{"-1", new(Mode), ""},
		{"", new(Mode), ""},
	}
	for _, test := range tests {
		name := fmt.Sprintf("%T of %q", test.target, test.text)
		err := test.target.UnmarshalText([]byte(test.text))
		if test.want == "" {
			if err == nil {
				t.Errorf("%s: %v, want an error", name, test.target)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		written, err := test.target.(encoding.TextMarshaler).MarshalText()
		if err != nil || string(written) != test.want || fmt.Sprint(test.target) != test.want {
			t.Errorf("%s is written %q (%v) and shown %v, want %q", name, written, err, test.target, test.want)
		}
		if err := test.target.UnmarshalText(written); err != nil || fmt.Sprint(test.target) != test.want {
			t.Errorf("%s: read again it is %v (%v)", name, test.target, err)
		}
	}
}

func TestSecret(t *testing.T) {
	const password = "hunter2"
	type section struct {
		Password Secret
		Others   []Secret
		ByName   map[string]Secret
		Pointer  *Secret
	}
	secret := Secret(password)
	s := section{secret, []Secret{secret}, map[string]Secret{"a": secret}, &secret}

	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%T"} {
		fmt.Fprintf(&shown, verb+" "+verb+"\n", secret, s)
	}
	marshalled, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(marshalled)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "secret", secret, "section", s)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "secret", secret, "section", s)
	fmt.Fprint(&shown, fmt.Errorf("wrapped: %v", secret))

	for _, form := range []string{password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password)} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("the secret shows as %s in:\n%s", form, shown.String())
		}
	}
	if secret.Reveal() != password {
		t.Errorf("revealed is %q, want %q", secret.Reveal(), password)
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("no secret shows as %q, want nothing", got)
	}
}

func TestSecretInProblems(t *testing.T) {
	const password = "hunter2"
	got := load(t, "[worker]\npassword = [\""+password+"\"]\n", map[string]string{"TEST_WORKER_NAME": password})
	got = append(got, load(t, "[worker]\npasword = \""+password+"\"\n", nil)...)
	got = append(got, load(t, "[worker]\npassword = \""+password+"\npassword = 1", nil)...)
	got = append(got, load(t, "[worker]\npassword = \""+password+"\"\npassword = \""+password+"\"\n", nil)...)
	if len(got) < 4 {
		t.Errorf("only %d problems: %v", len(got), got)
	}
	for _, problem := range got {
		if strings.Contains(problem, password) {
			t.Errorf("the problem shows the secret: %s", problem)
		}
	}
}
