//go:build !linux

package process

import "time"

// Children are processes that a daemon has started. Without /proc they are not
// known here.
type Children []*Process

func openChildren(int, bool, ...int) Children { return nil }

func seemsOwnGroup(int) bool { return false }

// End closes the handles.
func (c Children) End(time.Duration) { c.Close() }

// Close releases the handles.
func (c Children) Close() {
	for _, p := range c {
		p.Close()
	}
}

// EndChildren does nothing: a handler that starts programs has to end them.
func (h *Handover) EndChildren(time.Duration, ...int) {}

// KillGroupAtDeath does nothing here: jobs may outlive a daemon that is killed.
func KillGroupAtDeath() (release func(), err error) { return func() {}, nil }

// OwnsGroup reports whether the process group of this process is its own.
func (h *Handover) OwnsGroup() bool { return h.Stage == Detached || h.Upgraded }

// Reap does nothing here.
func Reap() {}
