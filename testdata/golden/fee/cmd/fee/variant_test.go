package main

// Variants of the program, with other files in the place of the project's own.

import (
	"os"
	"path/filepath"

	"example.com/fee/internal/wire/wiretest"
)

// buildVariant builds the program in a folder of its own beside that of the
// project. The map has the path in the project of each file that is another one
// there, and what stands in its place: a path below testdata, or "" for nothing.
func buildVariant(folder string, files map[string]string) (string, error) {
	program := filepath.Join(filepath.Dir(binary), folder, name)
	if _, err := os.Stat(program); err == nil {
		return program, nil // built by the test that runs this one
	}
	if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	return program, buildProgram(program, files)
}

// buildProgram builds the program, with other files as buildVariant takes them.
func buildProgram(program string, files map[string]string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	replaced := make(map[string]string)
	for file, by := range files {
		if by != "" {
			by = filepath.Join(here, "testdata", by)
		}
		replaced[file] = by
	}
	flags, err := wiretest.Overlay(filepath.Dir(program), filepath.Dir(filepath.Dir(here)), replaced)
	if err != nil {
		return err
	}
	return goBuild(program, flags...)
}
