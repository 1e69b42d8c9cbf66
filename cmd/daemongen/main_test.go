package main

// The command as a person types it: the scripts in testdata/script.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// noSleep takes away the second that a program waits before its end under -race.
const noSleep = "atexit_sleep_ms=0"

// TestMain puts this program, as it is compiled for the test, into the PATH as
// daemongen.
func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", noSleep); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"daemongen": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		Setup:               withGo,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":  exits,
			"holds":  holds,
			"same":   same,
			"object": object,
		},
	})
}

// withGo gives the scripts what the go command needs, and no network.
func withGo(env *testscript.Env) error {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return err
	}
	values := bytes.Fields(out)
	env.Setenv("GOCACHE", string(values[0]))
	env.Setenv("GOMODCACHE", string(values[1]))
	env.Setenv("GOPROXY", "off")
	env.Setenv("GOTOOLCHAIN", "local")
	env.Setenv("GORACE", noSleep)
	return nil
}

// exits CODE PROGRAM [ARG...] runs a program, which must exit with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// holds DIR [NAME...] checks that a folder holds these entries and no others,
// but for the folder of the scripts' own temporary files.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: holds DIR [NAME...]")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, entry := range entries {
		if entry.Name() != ".tmp" {
			got = append(got, entry.Name())
		}
	}
	if want := slices.Sorted(slices.Values(args[1:])); !slices.Equal(got, want) {
		ts.Fatalf("%s holds %q, want %q", args[0], got, want)
	}
}

// same DIR DIR checks that two folders hold the same files.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: same DIR DIR")
	}
	if difference := compare(ts.MkAbs(args[0]), ts.MkAbs(args[1])); difference != "" {
		ts.Fatalf("%s", difference)
	}
}

// compare returns the first difference between two trees of files, or "".
func compare(a, b string) string {
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		err := filepath.WalkDir(pair[0], func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(pair[0], path)
			if err != nil {
				return err
			}
			one, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			other, err := os.ReadFile(filepath.Join(pair[1], name))
			if err != nil {
				return err
			}
			if !bytes.Equal(one, other) {
				return fmt.Errorf("%s differs:\n%s\n%s", name, one, other)
			}
			return nil
		})
		if err != nil {
			return err.Error()
		}
	}
	return ""
}

// object [KEY VALUE]... checks that stdout of the last program is one JSON
// object and nothing else, and that its values are these.
func object(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%2 != 0 {
		ts.Fatalf("usage: object [KEY VALUE]...")
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &values); err != nil {
		ts.Fatalf("stdout is not one object: %v", err)
	}
	for i := 0; i < len(args); i += 2 {
		if got := fmt.Sprint(values[args[i]]); got != args[i+1] {
			ts.Fatalf("%s is %q, want %q", args[i], got, args[i+1])
		}
	}
}
