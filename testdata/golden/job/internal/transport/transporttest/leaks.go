// Nothing may be left of a transport: neither goroutines nor descriptors.

package transporttest

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// warmUp makes what the runtime keeps for ever once a program uses the network.
func warmUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkLeaks notes what there is, and at the end of the test waits until there
// is no more than that.
func checkLeaks(t *testing.T) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors()
	t.Cleanup(func() {
		deadline := time.Now().Add(Patience)
		for runtime.NumGoroutine() > goroutines || countDescriptors() > descriptors {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Errorf("left behind: %d goroutines and %d descriptors of %d and %d before\n%s",
					runtime.NumGoroutine(), countDescriptors(), goroutines, descriptors, stacks)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// countDescriptors is 0 on systems that do not list them in a folder.
func countDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
