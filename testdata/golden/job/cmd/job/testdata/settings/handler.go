// Package job is a handler with settings of its own: what the tests of
// settings and of the log have in the place of the project's.
package job

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"example.com/job/internal/config"
)

// Settings has one section.
type Settings struct {
	Own struct {
		Host   string `toml:"host"`
		Port   int    `toml:"port"`
		Fixed  string `toml:"fixed" reload:"restart"`
		Lines  int    `toml:"lines"`  // to log, from New on
		Simple bool   `toml:"simple"` // whether the handler has no method Reload

		Token config.Secret `toml:"token"`
	} `toml:"own"`

	stateDir string
}

// DefaultSettings returns the defaults.
func DefaultSettings() *Settings {
	s := &Settings{}
	s.Own.Host, s.Own.Port = "default", 1
	return s
}

// UseStateDir is optional.
func (s *Settings) UseStateDir(dir string) { s.stateDir = dir }

// Validate is optional.
func (s *Settings) Validate(report func(key, reason string)) {
	if token := s.Own.Token.Reveal(); token != "" && len(token) < 4 {
		report("own.token", "must have at least 4 characters")
	}
	if s.Own.Port < 1 {
		report("own.port", fmt.Sprintf("must be at least 1, is %d", s.Own.Port))
	}
}

// Database is not used.
type Database interface{ Rebind(query string) string }

// Handler is one of those below.
type Handler interface {
	Handle(ctx context.Context, request []byte) ([]byte, error)
}

// New fails for some settings.
func New(_ Database, settings *Settings) (Handler, error) {
	if err := judge(settings); err != nil {
		return nil, err
	}
	h := &simple{over: make(chan struct{})}
	h.logging.Go(func() { h.logLines(settings.Own.Lines) })
	if settings.Own.Simple {
		return h, nil
	}
	return reloader{h}, nil
}

// reloader is a handler that takes part in reloads.
type reloader struct{ *simple }

// Reload fails for the same settings as New, and may hang.
func (reloader) Reload(settings *Settings) error { return judge(settings) }

func judge(settings *Settings) error {
	switch settings.Own.Host {
	case "refused":
		return fmt.Errorf("there is no host %q", settings.Own.Host)
	case "panic":
		panic("no such host")
	case "hang":
		slog.Info("hanging")
		select {}
	}
	token := settings.Own.Token
	sum := sha256.Sum256([]byte(token.Reveal()))
	slog.Info("settings", "host", settings.Own.Host, "port", settings.Own.Port, "token", token, "sum", fmt.Sprintf("%x", sum[:4]), "state", settings.stateDir)
	return nil
}

// simple is a handler that logs what it is told.
type simple struct {
	logging sync.WaitGroup
	over    chan struct{}
}

// logLines logs numbered lines, 5 a millisecond at most.
func (h *simple) logLines(n int) {
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for number := range n {
		slog.Info("numbered", "number", number, "end", "END")
		if number%5 > 0 {
			continue
		}
		select {
		case <-pause.C:
		case <-h.over:
			return
		}
	}
}

// Handle does nothing.
func (h *simple) Handle(context.Context, []byte) ([]byte, error) { return []byte("TRUE"), nil }

// Close is optional.
func (h *simple) Close() error {
	close(h.over)
	h.logging.Wait()
	slog.Info("handler closed")
	return nil
}
