package daemon

import (
	"errors"
	"io/fs"

	"example.com/edm/internal/config"
	"example.com/edm/internal/process"
)

// source is where a process that has become another user has its configuration
// from: files that it may only have open.
type source struct {
	parts   Parts
	path    string // of the configuration; "": the built-in one
	file    *process.ConfigFile
	secrets *process.SecretFiles
}

func newSource(parts Parts, h *process.Handover) *source {
	return &source{parts, h.Config, h.ConfigFile(), h.SecretFiles()}
}

// offer is what the command reload has read, for a service that may not. The zero
// value offers nothing.
type offer struct {
	text    []byte            // of the configuration
	secrets map[string][]byte // by path
}

// read reads the configuration as it is now. An offer counts only where this user
// can't read a file: whoever made it may have read the file before its last
// change, and of several reloads at once the latest contents have to remain.
func (s *source) read(o offer) (*Configuration, error) {
	text, err := s.file.Read(config.MaxFile)
	var c *Configuration
	if err == nil {
		c, err = s.load(text, o.secrets)
	}
	if o.text != nil && errors.Is(err, fs.ErrPermission) {
		return s.load(o.text, o.secrets)
	}
	return c, err
}

func (s *source) load(text []byte, offered map[string][]byte) (*Configuration, error) {
	parts := s.parts
	parts.ReadSecret = func(path string) ([]byte, error) {
		text, err := s.secrets.Read(path, config.MaxSecret)
		if text == nil && err == nil {
			text, err = config.ReadSecret(path)
		}
		if other, ok := offered[path]; ok && errors.Is(err, fs.ErrPermission) {
			return other, nil
		}
		return text, err
	}
	return LoadConfiguration(parts, s.path, text)
}
