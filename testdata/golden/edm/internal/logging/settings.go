package logging

import (
	"fmt"
	"log/slog"

	"example.com/edm/internal/config"
)

// Settings is the section [log]. Every key can change while the service runs.
type Settings struct {
	Level  string      `toml:"level"`  // the least that is logged: debug, info, warn or error
	Format string      `toml:"format"` // text or json
	File   config.Path `toml:"file"`   // empty: where the caller logs to by default
	Daily  bool        `toml:"daily"`  // a file a day, named after File; not for standard error
}

// Default returns the section with its defaults.
func Default() *Settings { return &Settings{Level: "info", Format: "text"} }

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

// Validate implements config.Section.
func (s *Settings) Validate(report func(key, reason string)) {
	if _, ok := levels[s.Level]; !ok {
		report("level", fmt.Sprintf("must be debug, info, warn or error, is %q", s.Level))
	}
	if s.Format != "text" && s.Format != "json" {
		report("format", fmt.Sprintf("must be text or json, is %q", s.Format))
	}
}
