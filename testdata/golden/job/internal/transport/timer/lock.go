// One run at a time, whichever process makes it.

package timer

import (
	"os"
	"path/filepath"
	"time"

	"example.com/job/internal/filelock"
)

// lockFile is the file in the state directory that is locked during a run: in an
// upgrade the process that is replaced may be in the middle of one. The kernel
// unlocks it with the end of a process.
const lockFile = "timer.lock"

// lookAgain is after how long the lock of another process is tried again.
const lookAgain = 100 * time.Millisecond

// lock has no other process make a run until unlock is called. It returns false if
// one does so already. A lock that can't be had for another reason is done without,
// as a run that is not made would be the greater harm.
func (l *loop) lock() (unlock func(), ok bool) {
	if l.stateDir == "" {
		return func() {}, true
	}
	file, err := os.OpenFile(filepath.Join(l.stateDir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		var locked bool
		if locked, err = filelock.Try(file); locked {
			return func() { _ = file.Close() }, true
		}
		_ = file.Close()
		if err == nil {
			return nil, false
		}
	}
	if l.unlocked.Due() {
		l.log.Warn("runs of another process are not waited for", "error", err)
	}
	return func() {}, true
}
