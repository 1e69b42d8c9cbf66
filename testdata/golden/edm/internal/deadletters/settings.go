// The section [dead_letters] of the configuration.

package deadletters

import (
	"fmt"

	"example.com/edm/internal/config"
)

// Settings is the section [dead_letters]. All of it can change while the service
// runs.
type Settings struct {
	// FileSize is how large a file may grow before another is begun. A letter
	// that is larger has a file of its own.
	FileSize config.Size `toml:"file_size"`

	// TotalSize is how large all files together may grow. Beyond it Add fails.
	TotalSize config.Size `toml:"total_size"`
}

const (
	// minFileSize is room for more than the smallest letters, so that there is
	// no file for each.
	minFileSize config.Size = 4 << 10

	// maxFiles is how many files can be looked through often.
	maxFiles = 10000
)

// Default returns the section with its defaults.
func Default() *Settings { return &Settings{FileSize: 16 << 20, TotalSize: 1 << 30} }

// Validate implements config.Section.
func (s *Settings) Validate(report func(key, reason string)) {
	if s.FileSize < minFileSize {
		report("file_size", fmt.Sprintf("must be at least %s, is %s", minFileSize, s.FileSize))
		return
	}
	if s.TotalSize < s.FileSize {
		report("total_size", fmt.Sprintf("must be at least file_size, %s, is %s", s.FileSize, s.TotalSize))
	}
	if s.TotalSize/maxFiles > s.FileSize {
		report("file_size", fmt.Sprintf("would make more than %d files of total_size, %s, is %s", maxFiles, s.TotalSize, s.FileSize))
	}
}
