// Package mysql holds the migrations of the service for MySQL and MariaDB: files
// NUMBER_NAME.sql, of which those that a database has not seen are applied at the
// start, in order. What is in one stays as it is once it was released; a change
// of the tables is another file.
package mysql

import "embed"

// Files are the migrations.
//
//go:embed *.sql
var Files embed.FS
