// The transports on the way to be served: made, and, where their server is away,
// waited for.

package daemon

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"example.com/job/internal/transport"
)

// openTransports makes every transport; on an error those that were made are in
// the result as well, and in the teardown.
func (s *service) openTransports(ctx context.Context, c *Configuration) (map[string]transport.Transport, error) {
	if why := c.unused(); why != "" {
		s.log.Logger().Info("a transport is not used", "why", why)
	}
	transports := make(map[string]transport.Transport)
	for _, name := range slices.Sorted(maps.Keys(c.Transports)) {
		t, err := s.awaitTransport(ctx, name, c.Transports[name])
		if err != nil {
			return transports, fmt.Errorf("transport.%s: %w", name, err)
		}
		s.teardown.push("transport "+name, t.Close)
		transports[name] = t
	}
	return transports, nil
}

// awaitTransport makes a transport, and lets everybody know what the start waits
// for while its server is away.
func (s *service) awaitTransport(ctx context.Context, name string, section transport.Config) (t transport.Transport, err error) {
	remote, ok := section.(transport.RemoteConfig)
	if !ok {
		return section.New(s.transportEnv(name))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, waited, wait := time.Now(), false, remote.Patience()
	err = retry(ctx, wait, func(err error) {
		waited = true
		s.log.Logger().Warn("waiting for the server of a transport", "transport", name, "wait", wait, "error", err)
		s.set(func() { s.waitsFor = "waiting for the server of transport " + name })
		go s.extendStart(ctx, wait)
	}, func() (err error) {
		t, err = section.New(s.transportEnv(name))
		return err
	})
	s.set(func() { s.waitsFor = "" })
	if waited && err == nil {
		s.log.Logger().Info("the server is there", "transport", name, "after", time.Since(begin).Round(time.Millisecond))
	}
	return t, err
}

func (s *service) transportEnv(name string) transport.Env {
	return transport.Env{
		Log:      s.log.Logger().With("transport", name),
		StateDir: s.handover.Dirs.State,
		Changed:  s.notifyStatus,
		Listen: func(network, address string) (net.Listener, error) {
			return s.sockets.Listen(name, network, address)
		},
		ListenPacket: func(network, address string) (net.PacketConn, error) {
			return s.sockets.ListenPacket(name, network, address)
		},
	}
}

// away says which transports can't reach what they need. The caller holds s.mu.
func (s *service) away() (reasons []string) {
	for _, name := range slices.Sorted(maps.Keys(s.transports)) {
		if remote, ok := s.transports[name].(transport.Remote); ok {
			if why := remote.Away(); why != "" {
				reasons = append(reasons, "transport "+name+": "+why)
			}
		}
	}
	return reasons
}
