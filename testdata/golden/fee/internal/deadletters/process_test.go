package deadletters

// Several processes at the same files: this test program runs itself again, in a
// role.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/fee/internal/leftout"
)

// roleVariable names the role of a process that is part of a test.
const roleVariable = "DEADLETTERS_TEST_ROLE"

// roles are what such a process does with the store of its directory; it prints
// lines, and an error fails the test.
var roles = map[string]func(s *Store, args []string) error{
	"add":     addMany,
	"drop":    dropMany,
	"limited": addLimited,
	"rewrite": dropLimited,
	"one":     func(s *Store, args []string) error { return s.Add(Letter{Message: []byte(args[0])}) },
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleVariable)]
	if !ok {
		os.Exit(leftout.Main(m))
	}
	s, err := Open(os.Args[1])
	if err == nil {
		s.Configure(Settings{FileSize: 4096, TotalSize: 1 << 30})
		err = role(s, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// inRole is a command that does what a role is, in a directory.
func inRole(role, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{dir}, args...)...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// addMany adds letters from several goroutines, and prints what each had when it
// is safe.
func addMany(s *Store, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for g := range cap(errs) {
		wg.Go(func() {
			for i := range n {
				message := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if err := s.Add(Letter{Message: []byte(message + strings.Repeat(" ", i%500))}); err != nil {
					errs <- err
					return
				}
				fmt.Println(message)
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// dropMany drops letters, some at a time, and prints what each had, until its
// input ends.
func dropMany(s *Store, _ []string) error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	for {
		select {
		case <-over:
			return nil
		default:
		}
		some := make(map[string]string)
		for l, err := range s.Letters() {
			if err != nil && !errors.As(err, new(*UnreadableError)) {
				return err
			}
			if err == nil && rand.IntN(4) == 0 {
				some[l.ID] = strings.TrimSpace(string(l.Message))
			}
		}
		wanted := make([]string, 0, len(some))
		for id := range some {
			wanted = append(wanted, id)
		}
		_, unknown, err := s.DropIDs(wanted)
		if err != nil {
			return err
		}
		for _, id := range unknown { // another process was faster
			delete(some, id)
		}
		for _, message := range some {
			fmt.Println(message)
		}
	}
}

// Nothing that was added is lost, and nothing is there twice, whatever processes
// add, drop and are killed at the same time.
func TestProcesses(t *testing.T) {
	t.Parallel()
	const adders, droppers, each = 4, 2, 60
	dir := t.TempDir()
	open(t, dir)
	start := func(cmd *exec.Cmd) (lines func() []string) {
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all := make(chan []string, 1)
		go func() {
			var lines []string
			for scanner := bufio.NewScanner(out); scanner.Scan(); {
				lines = append(lines, scanner.Text())
			}
			all <- lines
		}()
		return func() []string { return <-all }
	}
	var adding, dropping []func() []string
	var inputs []io.Closer
	var ended []*exec.Cmd
	for range droppers {
		cmd := inRole("drop", dir)
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		inputs, ended = append(inputs, input), append(ended, cmd)
		dropping = append(dropping, start(cmd))
	}
	for n := range adders {
		cmd := inRole("add", dir, strconv.Itoa(each))
		adding = append(adding, start(cmd))
		if n == 0 { // this one dies while it works
			time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer func() { _ = cmd.Wait() }()
			continue
		}
		ended = append(ended, cmd)
	}
	added := make(map[string]bool)
	for _, lines := range adding {
		for _, message := range lines() {
			added[message] = true
		}
	}
	for _, input := range inputs {
		_ = input.Close()
	}
	seen := make(map[string]int)
	for _, lines := range dropping {
		for _, message := range lines() {
			seen[message]++
		}
	}
	for _, cmd := range ended {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", cmd, err)
		}
	}
	dropped := len(seen)
	letters, _ := all(t, open(t, dir))
	given := make(map[string]bool)
	for _, l := range letters {
		seen[strings.TrimSpace(string(l.Message))]++
		if given[l.ID] {
			t.Errorf("id %s is there twice", l.ID)
		}
		given[l.ID] = true
	}
	for message := range added {
		if seen[message] == 0 {
			t.Errorf("%s is lost", message)
		}
	}
	for message, n := range seen {
		if n != 1 {
			t.Errorf("%s was there %d times", message, n)
		}
	}
	if len(added) < (adders-1)*4*each || dropped == 0 {
		t.Errorf("%d added, %d dropped: the test was none", len(added), dropped)
	}
}

// limitFiles makes the disk full for what would make a file larger.
func limitFiles(size uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	setNumber(&limit.Cur, size)
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
}

// setNumber sets a number whose type differs between systems.
func setNumber[T int64 | uint64](n *T, to uint64) { *n = T(to) }

// addLimited adds letters on a disk that gets full in the middle of one, and has
// room again.
func addLimited(s *Store, _ []string) error {
	if err := limitFiles(1000); err != nil {
		return err
	}
	letter := Letter{Message: []byte(strings.Repeat("x", 300))}
	var err error
	for n := 0; err == nil && n < 100; n++ {
		err = s.Add(letter)
	}
	if !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("on the full disk: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(s.path, current))
	if err != nil || !strings.HasSuffix(string(text), "}\n") {
		return fmt.Errorf("the file ends with %q, %w", text[max(0, len(text)-50):], err)
	}
	if err := limitFiles(1 << 20); err != nil {
		return err
	}
	return s.Add(letter)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := inRole("limited", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	letters, unreadable := all(t, open(t, dir))
	if len(letters) != 3 || unreadable != 0 {
		t.Errorf("%d letters and %d unreadable lines, want 3 and none", len(letters), unreadable)
	}
}

// dropLimited drops one letter where there is no room for the others.
func dropLimited(s *Store, args []string) error {
	if err := limitFiles(1000); err != nil {
		return err
	}
	n, _, err := s.DropIDs(args)
	if n != 0 || !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("dropped %d, %w", n, err)
	}
	return nil
}

// A rewrite for which there is no room leaves all as it was.
func TestDropOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	a, b, c := strings.Repeat("a", 900), strings.Repeat("b", 900), "c"
	add(t, s, a, b, c)
	letters := want(t, s, a, b, c)
	if out, err := inRole("rewrite", dir, letters[2].ID).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want(t, s, a, b, c)
	if got := files(t, dir); !slices.Equal(got, []string{current, lockName}) {
		t.Errorf("there are %q", got)
	}
}

// Who only looks changes nothing, and needs no more than to read.
func TestLookChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	want(t, s)
	if letters, _, err := s.After("", nil, 10, 10); len(letters) != 0 || err != nil {
		t.Errorf("%v, %v", letters, err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("there are %q", got)
	}
}

// Pitfall 29: what root makes or rewrites is the service's, as it was before.
func TestOwnership(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	const uid, gid = 54321, 54322
	dir, err := os.MkdirTemp("", "deadletters-test-") // where others get to
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	add(t, s, "a", "b")
	isOf := func(name string, uid, gid uint32, mode fs.FileMode) {
		t.Helper()
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid || info.Mode() != mode {
			t.Errorf("%s is %v of %d:%d, want %v of %d:%d", name, info.Mode(), stat.Uid, stat.Gid, mode, uid, gid)
		}
	}
	isOf(lockName, uid, gid, 0o600)
	path := filepath.Join(dir, current)
	if err := errors.Join(os.Chown(path, uid+1, gid+1), os.Chmod(path, 0o606)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.DropIDs(ids(want(t, s, "a", "b"))[:1]); err != nil {
		t.Fatal(err)
	}
	isOf(current, uid+1, gid+1, 0o606)

	// The service goes on with it.
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	cmd := asUser(t, inRole("one", dir, "c"), uid, gid)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want(t, s, "b", "c")
}

// asUser has a command run as another user, from a file that he may execute.
func asUser(t *testing.T, cmd *exec.Cmd, uid, gid uint32) *exec.Cmd {
	t.Helper()
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.MkdirTemp("", "deadletters-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(program) })
	cmd.Path = filepath.Join(program, "test")
	// No other test may start a process meanwhile, see golang/go#22315.
	syscall.ForkLock.RLock()
	err = errors.Join(os.WriteFile(cmd.Path, text, 0o755), os.Chmod(program, 0o755), os.Chmod(cmd.Path, 0o755))
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	return cmd
}
