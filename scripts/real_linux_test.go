package scripts_test

// The real servers, as the tests of transports and databases use them.

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// realPlace returns a folder with the server up, and what up printed. It takes as
// long as all other tests together, so it is for make test, which has servers.
func realPlace(t *testing.T, name string) (p *place, up string) {
	t.Helper()
	leftOut := ""
	if os.Getenv("TEST_SERVICES") == "" {
		leftOut = "the real servers, which make test has"
	} else {
		services := make([]string, 2)
		for i, folder := range []string{"../templates/exampled/scripts/services", "services"} {
			var err error
			if services[i], err = filepath.Abs(folder); err != nil {
				t.Fatal(err)
			}
		}
		p = newPlaceOf(t, strings.Join(services, ":"))
		stdout, stderr, code := p.call("up", name)
		if code == 0 {
			return p, stdout
		}
		if code != 5 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		leftOut = stderr
	}
	leaveOut(t, leftOut)
	return nil, ""
}

// comesBack crashes the server, and stops it, and wants it as it was after both.
func (p *place) comesBack(name, up string, check func()) {
	p.t.Helper()
	check()
	for _, verb := range []string{"kill", "stop", "kill"} {
		p.must(verb, name)
		if p.pid(name) != 0 {
			p.t.Errorf("it runs after %s", verb)
		}
		if again := p.must("up", name); again != up {
			p.t.Errorf("after %s up prints\n%s\nbefore\n%s", verb, again, up)
		}
		check()
	}
}

// client runs a client of the server, and returns what it prints.
func client(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	p, up := realPlace(t, "mysql")
	dsn := regexp.MustCompile(`^(\w+):(\w+)@tcp\(127\.0\.0\.1:(\d+)\)/(\w+)\?`).FindStringSubmatch(exported(up, "TEST_MYSQL_DSN"))
	if dsn == nil {
		t.Fatal(up)
	}
	sql := func(statement string) string {
		return client(t, "mariadb", "--no-defaults", "-N", "-h", "127.0.0.1", "-P", dsn[3], "-u", dsn[1], "-p"+dsn[2], dsn[4], "-e", statement)
	}
	sql("CREATE TABLE t (i INT)")
	sql("INSERT INTO t VALUES (7)")
	p.comesBack("mysql", up, func() {
		if rows := sql("SELECT i FROM t"); rows != "7\n" {
			t.Errorf("the rows are %q", rows)
		}
	})
	// Nobody gets in without a password.
	for _, user := range []string{"root", "", dsn[1]} {
		if out, err := exec.Command("mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", dsn[3], "-u", user, "-e", "SELECT 1").CombinedOutput(); err == nil {
			t.Errorf("%q gets in without a password: %s", user, out)
		}
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	p, up := realPlace(t, "postgres")
	url := exported(up, "TEST_POSTGRES_URL")
	sql := func(statement string) string { return client(t, "psql", "-X", "-q", "-A", "-t", url, "-c", statement) }
	sql("CREATE TABLE t (i INT)")
	sql("INSERT INTO t VALUES (7)")
	p.comesBack("postgres", up, func() {
		if rows := sql("SELECT i FROM t"); rows != "7\n" {
			t.Errorf("the rows are %q", rows)
		}
	})
	// After a crash a segment of shared memory is left, for the next server. Down takes
	// it too.
	p.must("kill", "postgres")
	lines := strings.Split(p.read("postgres/data/postmaster.pid"), "\n")
	if len(lines) < 7 {
		t.Fatalf("postmaster.pid is %q", lines)
	}
	segment := strings.Fields(lines[6])
	if !hasSegment(t, segment[1]) {
		t.Fatalf("no segment %q", segment)
	}
	p.must("down")
	if hasSegment(t, segment[1]) {
		t.Errorf("segment %q is left", segment)
	}
}

func hasSegment(t *testing.T, id string) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Fields(line)[1] == id {
			return true
		}
	}
	return false
}

func TestAMQP(t *testing.T) {
	t.Parallel()
	p, up := realPlace(t, "amqp")
	url := regexp.MustCompile(`^amqp://\w+:\w+@(127\.0\.0\.1:\d+)/$`).FindStringSubmatch(exported(up, "TEST_AMQP_URL"))
	if url == nil {
		t.Fatal(up)
	}
	p.comesBack("amqp", up, func() {
		if !listens(url[1]) {
			t.Errorf("nothing listens on %s", url[1])
		}
	})
	// The registry of nodes that RabbitMQ starts otherwise would outlive it.
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		name, _ := os.ReadFile(filepath.Join(process, "comm")) // it may have ended
		environ, _ := os.ReadFile(filepath.Join(process, "environ"))
		if string(name) == "epmd\n" && bytes.Contains(environ, []byte(p.dir)) { // others may run brokers of their own
			t.Errorf("%s: an epmd runs", process)
		}
	}
}

func TestZMQ(t *testing.T) {
	t.Parallel()
	_, up := realPlace(t, "zmq")
	client(t, exported(up, "TEST_ZMQ_PYTHON"), "-c", "import zmq")
}
