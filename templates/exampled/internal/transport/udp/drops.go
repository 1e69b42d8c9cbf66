// What the kernel has dropped.

package udp

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dropped is how many datagrams the kernel had no room for in the socket, as far as
// it can be told: Linux has it in a table of all sockets of their kind, see proc(5).
func (e *endpoint) dropped() uint64 {
	inode, ok := e.inode()
	if !ok {
		return 0
	}
	for _, table := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		if n, ok := droppedIn(table, inode); ok {
			return n
		}
	}
	return 0
}

// inode is the number of the socket.
func (e *endpoint) inode() (string, bool) {
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return "", false
	}
	var stat syscall.Stat_t
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Fstat(int(fd), &stat) }); err != nil || failed != nil {
		return "", false
	}
	return fmt.Sprint(stat.Ino), true
}

// droppedIn looks the socket up in a table whose lines have its number as their
// tenth column, and the count as the last one.
func droppedIn(table, inode string) (uint64, bool) {
	file, err := os.Open(table)
	if err != nil {
		return 0, false
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) > 10 && columns[9] == inode {
			n, err := strconv.ParseUint(columns[len(columns)-1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
