//go:build linux

package bench

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const feeRounds = 3

var feeClients = []int{1, 16, 100}

// BenchmarkFee has clients of libzmq ask the tutorial's fee service to store trades,
// each with one request under way: what daemongen writes, the tutorial's in the PHP of
// today (testdata/fee-php), and what one writes by hand in Go (testdata/feebyhand). All
// of them store in tables of one kind on one server, which is as durable as it is by
// default. The rate is that of rows with the status Y, until each that was sent has it:
// the pool answers before that, all others after.
//
// The bars are ratios of 10 to the loop in PHP, of 5 to the pool and of 4.5 to Go with
// 100 clients; of 5, 2 and 2 with 16; and of 0.95 to the loop and to Go with one. One
// client alone fills no batch, and the pool that has answered already works on.
func BenchmarkFee(b *testing.B) {
	services := startFees(b, server(b, "TEST_MYSQL_DSN"))
	for _, n := range feeClients {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			medians := services.contest(b, n)
			draw("fee", clientsTitle(n), feeTitles, medians)
		})
	}
}

// BenchmarkFeeSlowDisk is BenchmarkFee with 100 clients, on a server of which each wait
// for the disk takes 2 ms longer (testdata/slowdisk). The bar is a ratio of 40 to the
// loop in PHP.
func BenchmarkFeeSlowDisk(b *testing.B) {
	services := startFees(b, startSlowDisk(b))
	b.Run("clients=100", func(b *testing.B) { services.contest(b, 100) })
}

func clientsTitle(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// feeServices are those that are measured, the first being ours.
type feeServices struct {
	load string // the program of the clients
	pid  int    // of ours
	all  []feeService
}

var feeTitles = []string{"daemongen", "PHP, one at a time", "PHP, 8 processes, early answers", "Go by hand, 16 workers"}

type feeService struct {
	name    string
	address string
	table   feeTable
}

// startFees starts all of them, each with a database of its own on the server.
func startFees(b *testing.B, source string) feeServices {
	b.Helper()
	_, load := compileZeroMQ(b)
	php := server(b, "TEST_RIVALS_PHP")
	config, err := mysql.ParseDSN(source)
	if err != nil {
		b.Fatal(err)
	}
	durable(b, config)
	s := feeServices{load: load}

	ours := newFeeTable(b, config, "fee_daemongen")
	address, pid := startFee(b, ours.config)
	s.pid = pid
	s.all = append(s.all, feeService{"daemongen", address, ours})
	for _, form := range []string{"inline", "pool"} {
		table := newFeeTable(b, config, "fee_php_"+form)
		table.like(b, ours)
		host, port, err := net.SplitHostPort(table.config.Addr)
		if err != nil {
			b.Fatal(err)
		}
		address := startProcess(b, php, "testdata/fee-php/"+form+".php", host, port, table.config.User, table.config.Passwd, table.config.DBName).line(b)
		s.all = append(s.all, feeService{"php-" + form, address, table})
	}
	table := newFeeTable(b, config, "fee_by_hand")
	table.like(b, ours)
	s.all = append(s.all, feeService{"by-hand", startByHand(b, "feebyhand", table.config.FormatDSN()), table})
	return s
}

// startFee starts the preset's project, and returns its address and process.
func startFee(b *testing.B, database *mysql.Config) (address string, pid int) {
	b.Helper()
	p := project{dir: folder(b), name: "fee"}
	address = "tcp://" + freeAddress(b)
	p.start(b, []string{"--preset", "fee"}, []string{
		"FEE_TRANSPORT_ZEROMQ_BIND=" + address,
		"FEE_DATABASE_MYSQL_DSN=" + database.FormatDSN(),
	})
	return address, p.pid(b)
}

// contest measures all of them with so many clients.
func (s feeServices) contest(b *testing.B, n int) (medians []float64) {
	b.Helper()
	var all []contestant
	for _, service := range s.all {
		clients := startLoad(b, s.load, "fee", service.address, n)
		service.table.empty(b)
		service.rate(b, clients, length/4) // to warm up
		all = append(all, contestant{service.name,
			func() { service.table.empty(b) },
			func() float64 { return service.rate(b, clients, length) }})
	}
	medians = contest(b, feeRounds, all)
	b.ReportMetric(resident(b, s.pid), "MB")
	return medians
}

// rate has the clients send for so long to the empty table.
func (s feeService) rate(b *testing.B, clients *process, length time.Duration) float64 {
	b.Helper()
	began := time.Now()
	sent := int(clients.rate(b, length)) // in this mode it is the number
	for {
		looked := time.Now() // to look takes time as well
		stored := s.table.stored(b)
		if stored >= sent {
			return float64(sent) / looked.Sub(began).Seconds()
		}
		if time.Since(began) > time.Minute {
			b.Fatalf("%s: %d of %d are stored with the status Y after a minute", s.name, stored, sent)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// feeTable is the table of one service.
type feeTable struct {
	config *mysql.Config // of its database
	db     *sql.DB
}

// newFeeTable makes the database anew, without the table.
func newFeeTable(b *testing.B, server *mysql.Config, name string) feeTable {
	b.Helper()
	all := openMySQL(b, server)
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + name, "CREATE DATABASE " + name} {
		if _, err := all.Exec(statement); err != nil {
			b.Fatal(err)
		}
	}
	config := server.Clone()
	config.DBName = name
	return feeTable{config, openMySQL(b, config)}
}

func openMySQL(b *testing.B, config *mysql.Config) *sql.DB {
	b.Helper()
	db, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// like makes the table as another is: nobody shall be faster by another table.
func (t feeTable) like(b *testing.B, other feeTable) {
	b.Helper()
	if _, err := t.db.Exec("CREATE TABLE fee LIKE " + other.config.DBName + ".fee"); err != nil {
		b.Fatal(err)
	}
}

func (t feeTable) empty(b *testing.B) {
	b.Helper()
	if _, err := t.db.Exec("TRUNCATE TABLE fee"); err != nil {
		b.Fatal(err)
	}
}

func (t feeTable) stored(b *testing.B) (n int) {
	b.Helper()
	if err := t.db.QueryRow("SELECT COUNT(*) FROM fee WHERE status = 'Y'").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// durable ends the benchmark if the server commits without waiting for the disk: that
// is not what is measured.
func durable(b *testing.B, config *mysql.Config) {
	b.Helper()
	var flush, doublewrite int
	err := openMySQL(b, config).QueryRow("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite").Scan(&flush, &doublewrite)
	if err != nil {
		b.Fatal(err)
	}
	if flush != 1 || doublewrite != 1 {
		b.Fatalf("the server has innodb_flush_log_at_trx_commit=%d and innodb_doublewrite=%d, not 1: start it without SERVICES_SYNC=off", flush, doublewrite)
	}
}

// startSlowDisk starts a server like that of the other benchmarks on a slow disk, and
// returns its source. It ends with the benchmark.
func startSlowDisk(b *testing.B) (source string) {
	b.Helper()
	compiler := server(b, "TEST_ZMQ_CC")
	path, err := lookServer()
	if err != nil {
		b.Skipf("LEFT OUT: %v; make bench installs it", err)
	}
	dir := folder(b)
	slow := filepath.Join(dir, "slowdisk.so")
	run(b, "", nil, compiler, "-O2", "-shared", "-fPIC", "-o", slow, "testdata/slowdisk/slowdisk.c")
	// In front of the server that is found by its name.
	script := fmt.Sprintf("#!/bin/sh\nLD_PRELOAD=%s exec %s \"$@\"\n", slow, path)
	if err := os.WriteFile(filepath.Join(dir, "mariadbd"), []byte(script), 0o755); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("../scripts/services.sh", "run", "mysql", "--", "sh", "-c", `echo "$TEST_MYSQL_DSN"; cat`)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TEST_MYSQL_") { // of the other
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "SERVICES_DIR="+filepath.Join(dir, "servers"))
	source = startCommand(b, cmd).line(b)
	config, err := mysql.ParseDSN(source)
	if err != nil {
		b.Fatal(err)
	}
	slowly(b, newFeeTable(b, config, "slow_disk").db)
	return source
}

// lookServer returns where the server is, which lies in a folder that the PATH of an
// ordinary user may lack.
func lookServer() (string, error) {
	if path, err := exec.LookPath("mariadbd"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/mariadbd")
}

// slowly ends the benchmark if the disk of the server is as fast as ever.
func slowly(b *testing.B, db *sql.DB) {
	b.Helper()
	if _, err := db.Exec("CREATE TABLE numbers (number BIGINT PRIMARY KEY)"); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for number := range 10 {
		began := time.Now()
		if _, err := db.Exec("INSERT INTO numbers VALUES (?)", number); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	if fastest := slices.Min(took); fastest < 2*time.Millisecond {
		b.Fatalf("a commit took %v: the library that slows the disk is not in the server", fastest)
	}
}
