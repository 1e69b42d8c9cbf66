package daemon

import (
	"fmt"
	"io"
	"runtime/debug"

	"example.com/edm/internal/config"
	"example.com/edm/internal/worker"
)

// makeHandler makes the handler, which then can be reloaded and is closed in its
// turn, if it has that in mind. A panic of the handler's is an error.
func (s *service) makeHandler(c *Configuration) (handler worker.Handler, err error) {
	err = s.guard(func() error {
		handler, err = s.parts.Handler(s.db, s.ownSettings(c))
		return err
	})
	if err != nil {
		return nil, err
	}
	if closer, ok := handler.(io.Closer); ok {
		s.teardown.push("handler", closer.Close)
	}
	if s.parts.Reload == nil {
		return handler, nil
	}
	if reload := s.parts.Reload(handler); reload != nil {
		s.reloadHandler = func(c *Configuration) error {
			return s.guard(func() error { return reload(s.ownSettings(c)) })
		}
	}
	return handler, nil
}

// ownSettings are the handler's own sections of a configuration, which may want to
// know where the service keeps what has to last.
func (s *service) ownSettings(c *Configuration) config.Section {
	if own, ok := c.Settings.(interface{ UseStateDir(dir string) }); ok {
		own.UseStateDir(s.handover.Dirs.State)
	}
	return c.Settings
}

// guard calls what the handler's owner has written outside of the pool.
func (s *service) guard(call func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Logger().Error("the handler panicked", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", cause)
		}
		if err != nil {
			err = fmt.Errorf("handler: %w", err)
		}
	}()
	return call()
}
