package main

// The documents: what they show a person to type works as printed, and the
// trees that they draw are those on the disk.

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every document and the folders that its trees are about, by their first line.
var documents = map[string]map[string]string{
	"README.md":                      {"feed/": "testdata/golden/feed"},
	"CONTRIBUTING.md":                {"daemongen/": "."},
	"testdata/golden/feed/README.md": {"feed/": "testdata/golden/feed"},
}

func TestTreesInDocuments(t *testing.T) {
	for document, folders := range documents {
		drawn := 0
		for _, block := range blocks(t, document, "") {
			folder, ok := folders[strings.TrimSpace(block[0])]
			if !ok {
				continue
			}
			drawn++
			checkTree(t, document, folder, paths(block[1:]))
		}
		if drawn != len(folders) {
			t.Errorf("%s draws %d trees, want %d", document, drawn, len(folders))
		}
	}
}

// blocks returns the lines of each fenced block of a language in a document.
func blocks(t *testing.T, document, language string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", document))
	if err != nil {
		t.Fatal(err)
	}
	var found [][]string
	var block []string
	fence := "```"
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !inside && strings.HasPrefix(line, fence):
			inside, block = true, nil
			if line != fence+language {
				block = []string{"\x00"} // of another language
			}
		case inside && line == fence:
			inside = false
			if len(block) > 0 && block[0] != "\x00" {
				found = append(found, block)
			}
		case inside:
			block = append(block, line)
		}
	}
	return found
}

// paths returns what the lines of a tree name, an indentation of four being one
// folder deeper. What follows a name is its explanation; several names are
// separated by commas.
func paths(lines []string) []string {
	var all, above []string
	for _, line := range lines {
		names := strings.TrimLeft(line, " ")
		if names == "" {
			continue
		}
		depth := (len(line) - len(names)) / 4
		above = above[:min(len(above), depth-1)]
		fields := strings.Fields(names)
		for i, name := range fields {
			if i > 0 && !strings.HasSuffix(fields[i-1], ",") {
				break
			}
			name = strings.TrimSuffix(name, ",")
			all = append(all, strings.Join(append(slices.Clone(above), name), ""))
		}
		above = append(above, fields[0])
	}
	return all
}

// checkTree checks that every path of a tree is on the disk, and that the tree
// has every folder of the folders that it opens.
func checkTree(t *testing.T, document, folder string, tree []string) {
	t.Helper()
	root := filepath.Join("..", "..", folder)
	opened := map[string]bool{"": true}
	for _, path := range tree {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.IsDir() != strings.HasSuffix(path, "/") {
			t.Errorf("%s draws %s, which is not so in %s: %v", document, path, folder, err)
		}
		if i := strings.LastIndex(strings.TrimSuffix(path, "/"), "/"); i >= 0 {
			opened[path[:i+1]] = true
		}
	}
	for open := range opened {
		entries, err := fs.ReadDir(os.DirFS(root), filepath.Clean("./"+open))
		if err != nil {
			t.Error(err)
		}
		for _, entry := range entries {
			path := open + entry.Name() + "/"
			if entry.IsDir() && entry.Name()[0] != '.' && !slices.ContainsFunc(tree, func(p string) bool { return strings.HasPrefix(p, path) }) {
				t.Errorf("%s does not draw %s, which is in %s", document, path, folder)
			}
		}
	}
}

// figures are what differs from one time to the next: pids, sizes, times.
var figures = regexp.MustCompile(`\d+`)

// TestREADMESession types the session of the README and compares what is
// printed.
func TestREADMESession(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:")
	_ = listener.Close()
	sessions := blocks(t, "README.md", "console")
	if len(sessions) != 1 {
		t.Fatalf("the README has %d sessions, want 1", len(sessions))
	}
	var script, want strings.Builder
	for _, line := range sessions[0] {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			fmt.Fprintln(&script, strings.ReplaceAll(command, "/7000", "/"+port))
		} else {
			fmt.Fprintln(&want, line)
		}
	}
	got := typed(t, script.String(), port)
	if figures.ReplaceAllString(got, "N") != figures.ReplaceAllString(want.String(), "N") {
		t.Errorf("the README shows\n%s\nand typing it prints\n%s", want.String(), got)
	}
}

// TestREADMECommands types the other commands of the README, one after the
// other, none of which may fail.
func TestREADMECommands(t *testing.T) {
	var script strings.Builder
	for _, block := range blocks(t, "README.md", "sh") {
		fmt.Fprintln(&script, strings.Join(block, "\n"))
	}
	if strings.Count(script.String(), "daemongen ") < 5 {
		t.Fatalf("hardly a command in the README:\n%s", script.String())
	}
	typed(t, script.String(), "0")
}

// TestPHPCommands types the commands of the page for those who come from PHP.
func TestPHPCommands(t *testing.T) {
	var script strings.Builder
	for _, block := range blocks(t, "docs/from-php.md", "sh") {
		fmt.Fprintln(&script, strings.Join(block, "\n"))
	}
	for _, name := range []string{"fee", "edm", "job"} {
		if !strings.Contains(script.String(), fmt.Sprintf("daemongen new %s --preset %[1]s\n", name)) {
			t.Errorf("the page does not show how to have %s:\n%s", name, script.String())
		}
	}
	out := typed(t, script.String(), "0")
	for _, text := range []string{"fee.toml is valid", "edm.toml is valid", "job: started", "job: ready", "job: reloaded", "job: stopped"} {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not in what the commands print:\n%s", text, out)
		}
	}
}

// The page names a test for each row of what the tutorial has, and all are there.
func TestPHPRows(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-php.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := testsOf(t, filepath.Join("..", "..", "templates"))
	next := 1
	for _, row := range regexp.MustCompile(`(?m)^\| S(\d+) \|.*$`).FindAllStringSubmatch(string(text), -1) {
		if row[1] != fmt.Sprint(next) {
			t.Errorf("the row after S%d is S%s", next-1, row[1])
		}
		next++
		names := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(row[0], -1)
		if len(names) == 0 {
			t.Errorf("S%s is held by no test", row[1])
		}
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("S%s is held by %s, which is not there", row[1], name[1])
			}
		}
	}
	if next != 23 {
		t.Errorf("the rows end with S%d", next-1)
	}
}

// testsOf returns the names of the tests below a folder.
func testsOf(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range test.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestREADMESetUp checks that the commands which set up this repository are
// there. The first two run this test, or are run by .ci/run beside it.
func TestREADMESetUp(t *testing.T) {
	want := []string{"make demo", "make test", "go install ./cmd/daemongen"}
	var got []string
	for _, line := range blocks(t, "README.md", "")[0] {
		command, _, _ := strings.Cut(line, "#")
		got = append(got, strings.TrimSpace(command))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the README sets up by %q, want %q", got, want)
	}
	bin := t.TempDir()
	install := exec.Command("go", "install", "./cmd/daemongen")
	install.Dir, install.Env = filepath.Join("..", ".."), append(os.Environ(), "GOBIN="+bin)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(bin, "daemongen"), "version").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"\ndemo:", "\ntest:"} {
		if !strings.Contains(string(makefile), target) {
			t.Errorf("the Makefile has no %s", target)
		}
	}
}

// typed runs a script in a new folder, as a user whose daemon keeps everything
// there, and returns what it prints. Warnings, on stderr, are left out: anybody
// but root gets one, since the configuration names a user.
func typed(t *testing.T, script, port string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "daemongen-readme-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // for the user that root's daemon becomes
		t.Fatal(err)
	}
	// Whatever fails, nothing goes on running.
	script = "set -e\ntrap 'for d in bin/*; do ./$d stop; done >/dev/null 2>&1 || true' EXIT\n" + script
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LOGS_DIRECTORY="+dir+"/log", "FEED_TRANSPORT_TCP_LISTEN=127.0.0.1:"+port)
	for _, name := range []string{"FEED", "FEE", "EDM", "JOB"} {
		cmd.Env = append(cmd.Env, name+"_DAEMON_RUN_DIR="+dir+"/run/"+name, name+"_DAEMON_STATE_DIR="+dir+"/state/"+name)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}
