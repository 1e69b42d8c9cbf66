package daemon

import (
	"os"

	"example.com/job/internal/config"
	"example.com/job/internal/process"
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

// offer are files of the configuration by path, which a command has opened, as they
// may not be for the service to open.
type offer map[string]*os.File

// take has what is offered read from now on, where this user can't open a file. It
// takes that out of the offer: the rest stays the caller's.
func (s *source) take(offered offer) {
	for path, file := range offered {
		if path == s.path && s.file.Offer(file) || path != s.path && s.secrets.Offer(path, file) {
			delete(offered, path)
		}
	}
}

// read reads the configuration as it is now.
func (s *source) read() (*Configuration, error) {
	text, err := s.file.Read(config.MaxFile)
	if err != nil {
		return nil, err
	}
	parts := s.parts
	parts.ReadSecret = func(path string) ([]byte, error) {
		text, err := s.secrets.Read(path, config.MaxSecret)
		if text == nil && err == nil {
			text, err = config.ReadSecret(path)
		}
		return text, err
	}
	return LoadConfiguration(parts, s.path, text)
}
