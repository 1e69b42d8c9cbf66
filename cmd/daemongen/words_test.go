package main

import (
	"os/exec"
	"testing"
)

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"feed":              "feed",
		"worker.count=3":    "worker.count=3",
		"":                  "''",
		"a b":               "'a b'",
		"it's":              `'it'\''s'`,
		"$HOME;`id`\n\\*~!": "'$HOME;`id`\n\\*~!'",
		"fééd":              "'fééd'",
	} {
		got := quote(word)
		if got != want {
			t.Errorf("quote(%q) is %s, want %s", word, got, want)
		}
		if out, err := exec.Command("sh", "-c", "printf %s "+got).Output(); err != nil || string(out) != word {
			t.Errorf("a shell makes %q of %s, %v", out, got, err)
		}
	}
}

func TestKnownKeys(t *testing.T) {
	for typed, want := range map[string]string{
		"zzz\r":            "zzz\r",
		"\x1b":             "\x1b",
		"\x1b[A\x1bOB\r":   "\x1b[A\x1bOB\r",
		"\x1bx":            "",
		"a\x1bOPb":         "ab",
		"\x1b[1;5C\x1b[3~": "",
		"\x1b[200~x\x1b[C": "x\x1b[C",
		"\x1b[":            "",
		"\x1bO":            "",
		"é\x1b[1":          "é",
	} {
		bytes := []byte(typed)
		if got := string(bytes[:knownKeys(bytes)]); got != want {
			t.Errorf("of %q stays %q, want %q", typed, got, want)
		}
	}
}
