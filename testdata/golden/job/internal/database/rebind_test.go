package database

import (
	"strconv"
	"testing"
)

func TestRebind(t *testing.T) {
	dollar := func(n int) string { return "$" + strconv.Itoa(n) }
	tests := []struct{ query, want string }{
		{"", ""},
		{"SELECT 1", "SELECT 1"},
		{"?", "$1"},
		{"INSERT INTO t (a, b) VALUES (?, ?), (?,?)", "INSERT INTO t (a, b) VALUES ($1, $2), ($3,$4)"},
		{"SELECT '?', ?", "SELECT '?', $1"},
		{"SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1"},
		{`SELECT "a?""?", ? FROM ` + "`?`", `SELECT "a?""?", $1 FROM ` + "`?`"},
		{"SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2"},
		{"SELECT ? /* why? '*/, ?", "SELECT $1 /* why? '*/, $2"},
		{"SELECT 1 - ? / ? * ?", "SELECT 1 - $1 / $2 * $3"},
		{"SELECT ?, 'not closed ?", "SELECT $1, 'not closed ?"},
		{"SELECT ? -- to the end ?", "SELECT $1 -- to the end ?"},
		{"SELECT 'ü', ?", "SELECT 'ü', $1"},
	}
	for _, tt := range tests {
		if got := New(nil, Options{Placeholder: dollar}).Rebind(tt.query); got != tt.want {
			t.Errorf("Rebind(%q) = %q, want %q", tt.query, got, tt.want)
		}
		if got := New(nil, Options{}).Rebind(tt.query); got != tt.query {
			t.Errorf("without a Placeholder Rebind(%q) = %q", tt.query, got)
		}
	}
}
