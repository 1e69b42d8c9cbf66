package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// openFile opens a file that holds its own name.
func openFile(t *testing.T, dir, name string) *os.File {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// holding is what the files of a request hold, by path.
func holding(_ context.Context, r ControlRequest) any {
	defer r.Close()
	held := make(map[string]string)
	for path, file := range r.Files {
		text, err := io.ReadAll(file)
		held[path] = fmt.Sprint(string(text), err)
	}
	if r.File != nil {
		text, err := io.ReadAll(r.File)
		held["file"] = fmt.Sprint(string(text), err)
	}
	return held
}

func TestRequestFiles(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	answerControl(t, dirs, holding)
	for _, test := range []struct {
		names    []string
		withFile bool
	}{{nil, false}, {nil, true}, {[]string{"b", "a"}, false}, {[]string{"a", "c", "b"}, true}} {
		request := ControlRequest{Files: make(map[string]*os.File)}
		want := make(map[string]string)
		for _, name := range test.names {
			request.Files["/etc/"+name] = openFile(t, dirs.Run, name)
			want["/etc/"+name] = name + "<nil>"
		}
		if test.withFile {
			request.File = openFile(t, dirs.Run, "program")
			want["file"] = "program<nil>"
		}
		var held map[string]string
		if err := Ask(t.Context(), dirs, request, &held); err != nil || fmt.Sprint(held) != fmt.Sprint(want) {
			t.Errorf("the files hold %v, %v; want %v", held, err, want)
		}
	}
}

// More files than go with a request are left out; they are no reason to refuse it.
func TestManyRequestFiles(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	answerControl(t, dirs, holding)
	file := openFile(t, dirs.Run, "one")
	request := ControlRequest{Files: make(map[string]*os.File)}
	for n := range maxFiles + 100 {
		request.Files[fmt.Sprintf("/etc/%03d", n)] = file
	}
	var held map[string]string
	if err := Ask(t.Context(), dirs, request, &held); err != nil || len(held) != maxFiles {
		t.Errorf("%d files came, %v; want %d", len(held), err, maxFiles)
	}
}

// A request that names other files than come with it is not answered.
func TestOtherRequestFiles(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	answerControl(t, dirs, func(context.Context, ControlRequest) any {
		t.Error("a request was answered")
		return nil
	})
	for _, text := range []string{`{"files":["/etc/a"]}`, `{"file":true}`, `{"files":["/etc/a","/etc/a"],"file":true}`} {
		conn, err := net.Dial("unix", dirs.Socket())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s is answered: %d, %v", text, n, err)
		}
		_ = conn.Close()
	}
}
