// The pool of connections to a server.

package database

import (
	"database/sql"
	"math/rand/v2"
	"time"
)

// spare is how many connections there are besides one for each worker: for the
// health check, and for what a handler does outside of its calls.
const spare = 2

// Bound bounds a pool of connections to a server as env has it, and returns
// what is Options.Resize. Nothing is closed because it is idle for a moment: to
// connect takes longer than most statements.
func (e Env) Bound(pool *sql.DB) (resize func(workers int)) {
	resize = func(workers int) {
		connections := e.Connections
		if connections == 0 {
			connections = workers + spare
		}
		pool.SetMaxOpenConns(connections)
		pool.SetMaxIdleConns(connections)
	}
	resize(e.Workers)
	pool.SetConnMaxLifetime(jittered(e.MaxLifetime))
	pool.SetConnMaxIdleTime(e.MaxIdleTime)
	return resize
}

// jittered takes up to a tenth off a length of time, so that services which were
// started together don't connect anew together.
func jittered(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - rand.N(d/10)
}
