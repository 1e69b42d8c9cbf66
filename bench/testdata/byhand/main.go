// Command byhand is what a careful engineer writes by hand to store the lines of
// TCP peers: a pool of 16 workers behind a channel, a transaction for each message
// with a prepared INSERT, and the answer after the commit. It has the same
// libraries, the same framing, table and durability as what daemongen writes, and
// no batches.
//
//	byhand sqlite|mysql|postgres DATA-SOURCE transaction|statement
//
// With "transaction" it begins and commits each, as one does who has more than one
// statement; with "statement" the INSERT alone is the transaction, which saves two
// round trips to a server.
//
// It makes the table byhand anew, prints the address that it listens on, and serves
// until its standard input ends.
package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

const workers = 16

// kinds are the databases: the driver, the statements in its words, and how many
// connections are best: SQLite has one writer at a time, and with more
// connections than one it stores half as much.
var kinds = map[string]struct {
	driver, create, insert string
	connections            int
}{
	"sqlite": {
		driver:      "sqlite",
		create:      "CREATE TABLE byhand (id INTEGER PRIMARY KEY, received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), body TEXT NOT NULL)",
		insert:      "INSERT INTO byhand (body) VALUES (?)",
		connections: 1,
	},
	"mysql": {
		driver:      "mysql",
		create:      "CREATE TABLE byhand (id BIGINT AUTO_INCREMENT PRIMARY KEY, received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), body LONGBLOB NOT NULL)",
		insert:      "INSERT INTO byhand (body) VALUES (?)",
		connections: workers,
	},
	"postgres": {
		driver:      "pgx",
		create:      "CREATE TABLE byhand (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_at TIMESTAMPTZ NOT NULL DEFAULT now(), body BYTEA NOT NULL)",
		insert:      "INSERT INTO byhand (body) VALUES ($1)",
		connections: workers,
	},
}

// job is a message on its way: the line, and where its answer goes.
type job struct {
	line   []byte
	answer chan string
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: byhand sqlite|mysql|postgres DATA-SOURCE transaction|statement")
	}
	kind, ok := kinds[os.Args[1]]
	if !ok {
		log.Fatalf("unknown database %q", os.Args[1])
	}
	db, err := sql.Open(kind.driver, os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(kind.connections)
	db.SetMaxIdleConns(kind.connections)
	for _, statement := range []string{"DROP TABLE IF EXISTS byhand", kind.create} {
		if _, err := db.Exec(statement); err != nil {
			log.Fatal(err)
		}
	}
	insert, err := db.Prepare(kind.insert)
	if err != nil {
		log.Fatal(err)
	}
	store := func(line []byte) error {
		_, err := insert.Exec(line)
		return err
	}
	if os.Args[3] == "transaction" {
		store = func(line []byte) error { return transaction(db, insert, line) }
	}
	jobs := make(chan job, 1024)
	for range workers {
		go work(store, jobs)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go accept(listener, jobs)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func transaction(db *sql.DB, insert *sql.Stmt, line []byte) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.Stmt(insert).Exec(line); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func work(store func(line []byte) error, jobs <-chan job) {
	for j := range jobs {
		answer := "TRUE\n"
		if err := store(j.line); err != nil {
			log.Print(err)
			answer = "FALSE\n"
		}
		j.answer <- answer
	}
}

func accept(listener net.Listener, jobs chan<- job) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, jobs)
	}
}

// serve answers one message of a peer before it reads the next, and writes when
// no more are buffered.
func serve(conn net.Conn, jobs chan<- job) {
	defer func() { _ = conn.Close() }()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	answer := make(chan string, 1)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		jobs <- job{line[:len(line)-1], answer}
		_, _ = out.WriteString(<-answer) // Flush has the error
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
