package process

import (
	"fmt"
	"os"
	"strings"
)

// secretPrefix begins the name of a descriptor of a file with a secret; its path
// follows.
const secretPrefix = "secret "

// SecretFiles are the files from which the configuration has secrets, with
// passwords for instance. They may be for the eyes of the starter only, who
// leaves them open, as ConfigFile is. They are for one goroutine.
type SecretFiles struct{ files map[string]*ConfigFile }

// AddSecrets hands on the files at these absolute paths, open.
func (h *Handover) AddSecrets(paths []string) error {
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		h.Add(secretPrefix+path, file)
	}
	return nil
}

// SecretFiles takes over the files with secrets from the starter.
func (h *Handover) SecretFiles() *SecretFiles {
	s := &SecretFiles{make(map[string]*ConfigFile)}
	for i := len(h.Names) - 1; i >= 0; i-- {
		if path, ok := strings.CutPrefix(h.Names[i], secretPrefix); ok {
			s.files[path] = &ConfigFile{path: path, file: h.Take(h.Names[i])}
		}
	}
	return s
}

// Read returns what the file at the path holds, up to a byte more than limit, if
// it was left open and that is the only way to read it; else nil: then it is to
// be opened. The error is as that of ConfigFile.Read.
func (s *SecretFiles) Read(path string, limit int64) ([]byte, error) {
	if file := s.files[path]; file != nil {
		return file.Read(limit)
	}
	return nil, nil
}

// Offer has another file read from now on for what is at the path, as that of
// ConfigFile.
func (s *SecretFiles) Offer(path string, file *os.File) bool {
	have := s.files[path]
	if have == nil {
		have = &ConfigFile{path: path}
	}
	if !have.Offer(file) {
		return false
	}
	s.files[path] = have
	return true
}

// handOn gives what is open to the process that h describes.
func (s *SecretFiles) handOn(h *Handover) error {
	for path, file := range s.files {
		if file.file == nil {
			continue
		}
		open, err := duplicateFile(file.file)
		if err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		h.Add(secretPrefix+path, open)
	}
	return nil
}
