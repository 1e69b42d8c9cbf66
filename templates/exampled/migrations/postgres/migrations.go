// Package postgres holds the migrations of the service for PostgreSQL: files
// NUMBER_NAME.sql, of which those that a database has not seen are applied at the
// start, in order. What is in one stays as it is once it was released; a change
// of the tables is another file.
package postgres

import "embed"

// Files are the migrations.
//
//go:embed *.sql
var Files embed.FS
