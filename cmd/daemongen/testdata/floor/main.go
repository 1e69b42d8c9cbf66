// The floor of BenchmarkNew: the least that a program does which renders,
// formats, hashes and writes the files below files/ and renames the folder into
// place. The benchmark makes the files, and a module around this program.
package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed all:files
var files embed.FS

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(target string) error {
	stage := target + ".stage"
	sums := make(map[string]string)
	err := fs.WalkDir(files, "files", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(stage, strings.TrimPrefix(name, "files"))
		if entry.IsDir() {
			return os.Mkdir(path, 0o755)
		}
		data, err := render(name)
		if err != nil {
			return err
		}
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(data))
		return os.WriteFile(path, data, 0o644)
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(sums)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage, "manifest"), manifest, 0o644); err != nil {
		return err
	}
	return os.Rename(stage, target)
}

func render(name string) ([]byte, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tmpl, err := template.New(name).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, "feed"); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".go") {
		return format.Source(out.Bytes())
	}
	return out.Bytes(), nil
}
