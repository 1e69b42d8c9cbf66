package fifo

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	var configs atomic.Int64
	transporttest.Run(t, transporttest.Harness{
		Config: func() transport.Config {
			c := Default().(*Config)
			c.Path = config.Path(filepath.Join(dir, strconv.FormatInt(configs.Add(1), 10)))
			c.MaxMessage = 16 << 10
			return c
		},
		Address: func(tr transport.Transport) string {
			f := tr.(*Transport)
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.reader.pipe.path
		},
		Dial:  dialFIFO,
		Limit: 16 << 10,
	})
}

// writer is a program that writes lines to a fifo.
type writer struct{ *os.File }

func dialFIFO(path string) (transporttest.Peer, error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	return writer{file}, err
}

// Send implements transporttest.Peer.
func (w writer) Send(bodies ...[]byte) error {
	for _, body := range bodies {
		if _, err := w.Write(append(body[:len(body):len(body)], '\n')); err != nil {
			return err
		}
	}
	return nil
}

// Receive implements transporttest.Peer.
func (writer) Receive() ([]byte, error) { return nil, errors.New("a fifo has no replies") }
