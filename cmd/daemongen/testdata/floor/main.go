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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
	var folders, names []string
	err := fs.WalkDir(files, "files", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, name)
		} else {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	rendered, err := renderAll(names)
	if err != nil {
		return err
	}
	stage := target + ".stage"
	place := func(name string) string { return filepath.Join(stage, strings.TrimPrefix(name, "files")) }
	for _, name := range folders {
		if err := os.Mkdir(place(name), 0o755); err != nil {
			return err
		}
	}
	sums := make(map[string]string)
	for i, name := range names {
		sums[name] = rendered[i].sum
		if err := os.WriteFile(place(name), rendered[i].data, 0o644); err != nil {
			return err
		}
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

type file struct {
	data []byte
	sum  string
	err  error
}

// renderAll renders the files on all processors.
func renderAll(names []string) ([]file, error) {
	all := make([]file, len(names))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				data, err := render(names[i])
				all[i] = file{data, fmt.Sprintf("%x", sha256.Sum256(data)), err}
			}
		})
	}
	workers.Wait()
	for _, f := range all {
		if f.err != nil {
			return nil, f.err
		}
	}
	return all, nil
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
