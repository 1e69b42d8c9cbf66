package main

import (
	feed "example.com/feed"
	"example.com/feed/internal/database"
	"example.com/feed/internal/worker"
)

// newHandler makes the handler of this service; db is nil without a database.
func newHandler(db *database.DB) worker.Handler {
	if db == nil {
		return feed.New(nil)
	}
	return feed.New(db)
}
