package main

import (
	exampled "github.com/daemongen/daemongen/templates/exampled"
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/worker"
)

// newHandler makes the handler of this service; db is nil without a database.
func newHandler(db *database.DB) worker.Handler {
	if db == nil {
		return exampled.New(nil)
	}
	return exampled.New(db)
}
