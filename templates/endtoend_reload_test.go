package templates_test

// Reloads that change the database under load.

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The database changes while messages arrive: each one that was answered is in
// one of the files, once, and none was refused. Pitfall 41: a file that can't be
// changes nothing.
func TestReloadChangesDatabase(t *testing.T) {
	const clients, reloads = 8, 20
	s := newService(t)
	files := []string{filepath.Join(s.dir, "state", "exampled.db"), filepath.Join(s.dir, "state", "other.db")}
	pid := s.start()
	stop := make(chan struct{})
	answered := make([][]string, clients)
	var group sync.WaitGroup
	for id := range clients {
		group.Go(func() { answered[id] = s.client(s.address, id, stop) })
	}
	for n := range reloads {
		s.set("database.sqlite.path", strconv.Quote(files[(n+1)%2]))
		s.set("database.sqlite.busy_timeout", fmt.Sprintf(`"%ds"`, 5+n))
		s.want(0, fmt.Sprintf(`reloaded \(pid %d, generation %d\)`, pid, n+2), "reload")
	}
	s.set("database.sqlite.path", `"/nosuch/folder/a.db"`)
	s.set("worker.count", "3")
	s.want(1, `reload: database\.sqlite: the folder of the database, "/nosuch/folder", must exist`, "reload")
	s.want(0, fmt.Sprintf(`ready \(pid %d\), .* 16 workers, .* 0 failed, the last reload failed`, pid), "status")
	close(stop)
	group.Wait()
	s.want(0, `stopped`, "stop")

	stored := make(map[string]int)
	for _, file := range files {
		s.databaseFile = file
		lines := s.stored()
		if len(lines) == 0 {
			t.Errorf("%s is empty", file)
		}
		for line, n := range lines {
			stored[line] += n
		}
	}
	total := 0
	for _, lines := range answered {
		total += len(lines)
		for _, line := range lines {
			if stored[line] != 1 {
				t.Errorf("%q was answered and is stored %d times", line, stored[line])
			}
		}
	}
	if total == 0 {
		t.Error("no message was answered")
	}
	// The two databases, the lock of the dead letters, and the fifo.
	if entries, err := os.ReadDir(filepath.Join(s.dir, "state")); err != nil || len(entries) != 4 {
		t.Errorf("left in the state directory: %v, %v", entries, err)
	}
}

// An address that the service could have, but not while it runs, needs a restart,
// which a reload says with the key, and force-reload does.
func TestReloadToWhatNeedsARestart(t *testing.T) {
	s := newService(t)
	_, port, _ := strings.Cut(s.address, ":")
	s.start()
	s.set("transport.tcp.listen", strconv.Quote("0.0.0.0:"+port)) // which overlaps with what it has
	s.want(152, `needs a restart: transport\.tcp\.listen`, "reload")
	s.want(0, `: started`, "force-reload")
	if os.Geteuid() != 0 {
		return
	}
	// Root bound it before it gave its rights up.
	s.set("transport.tcp.listen", `"127.0.0.1:863"`)
	s.want(152, `needs a restart: transport\.tcp\.listen`, "reload")
	s.want(0, `: started`, "force-reload")
	s.want(0, `listening on 127\.0\.0\.1:863`, "--json", "status")
	s.want(0, `: upgraded`, "upgrade")
	s.want(0, `listening on 127\.0\.0\.1:863`, "--json", "status")
}
