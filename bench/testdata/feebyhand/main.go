// Command feebyhand is what a careful engineer writes by hand for the tutorial's fee
// service, with libzmq: one goroutine has the socket of the clients, 16 workers take
// messages from one channel and store each in a transaction of its own, an INSERT
// with the status N and an UPDATE to Y by the ticket. The answer comes after the
// commit. There are no batches.
//
//	feebyhand DATA-SOURCE
//
// It prints the address that it listens on, and serves until its standard input
// ends.
//
// It is a module of its own: its library needs a C compiler and libzmq's headers,
// which daemongen and what it writes do without.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"syscall"

	_ "github.com/go-sql-driver/mysql"
	"github.com/pebbe/zmq4"
)

const workers = 16

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: feebyhand DATA-SOURCE")
	}
	fees, err := open(os.Args[1])
	if err != nil {
		return err
	}
	clients, answers, err := bind()
	if err != nil {
		return err
	}
	address, err := clients.GetLastEndpoint()
	if err != nil {
		return err
	}
	// There is room for what waits, so that the one who gives out never does.
	jobs := make(chan job, 10000)
	for range workers {
		socket, err := zmq4.NewSocket(zmq4.PUSH)
		if err != nil {
			return err
		}
		if err := socket.Connect(inside); err != nil {
			return err
		}
		go work(fees, jobs, socket)
	}
	fmt.Println(address)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return serve(clients, answers, jobs)
}

// inside is where workers hand their answers to the one who has the socket, for a
// socket of ZeroMQ can't be used by two at once, nor waited for beside a channel.
const inside = "inproc://answers"

func bind() (clients, answers *zmq4.Socket, err error) {
	if clients, err = zmq4.NewSocket(zmq4.ROUTER); err != nil {
		return nil, nil, err
	}
	if err = clients.Bind("tcp://127.0.0.1:*"); err != nil {
		return nil, nil, err
	}
	if answers, err = zmq4.NewSocket(zmq4.PULL); err != nil {
		return nil, nil, err
	}
	return clients, answers, answers.Bind(inside)
}

// job is a message on its way: who sent it, and what it is.
type job struct {
	client, message string
}

// serve takes all that is there of each kind, and then waits for more.
func serve(clients, answers *zmq4.Socket, jobs chan<- job) error {
	poller := zmq4.NewPoller()
	poller.Add(clients, zmq4.POLLIN)
	poller.Add(answers, zmq4.POLLIN)
	for {
		if _, err := poller.Poll(-1); err != nil {
			return err
		}
		err := drain(answers, func(frames []string) error {
			_, err := clients.SendMessage(frames)
			return err
		})
		if err != nil {
			return err
		}
		err = drain(clients, func(frames []string) error {
			if len(frames) == 3 { // the client, the empty one of a REQ, the message
				jobs <- job{frames[0], frames[2]}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

func drain(socket *zmq4.Socket, handle func(frames []string) error) error {
	for {
		frames, err := socket.RecvMessage(zmq4.DONTWAIT)
		if again(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := handle(frames); err != nil {
			return err
		}
	}
}

func again(err error) bool {
	return err != nil && zmq4.AsErrno(err) == zmq4.Errno(syscall.EAGAIN)
}

func work(fees *store, jobs <-chan job, answers *zmq4.Socket) {
	for j := range jobs {
		answer := "TRUE"
		if err := fees.store(j.message); err != nil {
			log.Printf("%s: %v", j.message, err)
			answer = "FALSE"
		}
		if _, err := answers.SendMessage(j.client, "", answer); err != nil {
			log.Print(err)
		}
	}
}

// store is the table, which has to be there.
type store struct {
	db             *sql.DB
	insert, update *sql.Stmt
}

func open(source string) (*store, error) {
	db, err := sql.Open("mysql", source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(workers)
	db.SetMaxIdleConns(workers)
	insert, err := db.Prepare("INSERT INTO fee (ticket, login, volume, status) VALUES (?, ?, ?, 'N')")
	if err != nil {
		return nil, err
	}
	update, err := db.Prepare("UPDATE fee SET status = 'Y' WHERE ticket = ? AND status = 'N'")
	if err != nil {
		return nil, err
	}
	return &store{db, insert, update}, nil
}

func (s *store) store(message string) error {
	fields := strings.Split(message, ",")
	if len(fields) != 3 {
		return errors.New("not ticket,login,volume")
	}
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.Stmt(s.insert).Exec(fields[0], fields[1], fields[2]); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if _, err := tx.Stmt(s.update).Exec(fields[0]); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
