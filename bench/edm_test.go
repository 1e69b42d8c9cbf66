//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const edmQueue = "email"

// BenchmarkEDM drains a durable queue of 100,000 persistent messages of 200 bytes, each
// logged in one line of a file and acknowledged, from the start of the program to the
// last line: what daemongen writes, the tutorial's consumer in PHP as written
// (testdata/edm-php), which acknowledges before it logs, and what one writes by hand with
// the library (testdata/edmbyhand) and with Watermill (testdata/edmwatermill). The
// limit is what the broker delivers to one who does nothing but acknowledge, 500 at a
// time, and the other one what it delivers to one who does not even do that.
//
// The bars are ratios of 2.4 to PHP, of 1.5 to Go by hand, of 1.4 to Watermill, and of
// 0.85 to the limit. On two cores they were 2.72, 1.55, 1.62, and 0.98, or 0.92 to the
// other one.
func BenchmarkEDM(b *testing.B) {
	broker, php := server(b, "TEST_AMQP_URL"), server(b, "TEST_RIVALS_PHP")
	u, err := url.Parse(broker)
	if err != nil {
		b.Fatal(err)
	}
	password, _ := u.User.Password()
	byHand, watermill, limit := buildByHand(b, "edmbyhand"), buildByHand(b, "edmwatermill"), buildByHand(b, "amqpbyhand")
	queue := newAMQPQueue(b, broker, edmQueue)
	ours := newEDM(b, u)
	fill := func() { queue.fill(edmBody) }
	drain := func(program string, args ...string) func() float64 {
		return func() float64 {
			dir := folder(b)
			return drainEDM(b, queue, dir, func() (end func()) {
				return startProcess(b, program, append(args, filepath.Join(dir, "edm.log"))...).end
			})
		}
	}
	alone := func(acks string) func() float64 {
		return func() float64 {
			began := time.Now()
			run(b, "", nil, limit, broker, edmQueue, strconv.Itoa(amqpMessages), acks)
			return amqpMessages / time.Since(began).Seconds()
		}
	}
	medians := contest(b, amqpRounds, []contestant{
		{"daemongen", fill, func() float64 {
			return drainEDM(b, queue, ours.logs(), func() (end func()) {
				run(b, "", ours.env, ours.program, "start")
				return func() { run(b, "", ours.env, ours.program, "stop") }
			})
		}},
		{"php", fill, drain(php, "testdata/edm-php/edm.php", u.Hostname(), u.Port(), u.User.Username(), password)},
		{"by-hand", fill, drain(byHand, broker)},
		{"watermill", fill, drain(watermill, broker)},
		{"limit", fill, alone("many")},
		{"limit-no-acks", fill, alone("none")},
	})
	draw("edm", "", []string{"daemongen", "PHP, as the tutorial has it", "Go by hand", "Go with Watermill", "the broker alone", "… without acknowledgements"}, medians)
}

// edm is the preset's program.
type edm struct {
	project
	program string
	env     []string
}

func newEDM(b *testing.B, broker *url.URL) edm {
	b.Helper()
	p := project{dir: folder(b), name: "edm"}
	password, _ := broker.User.Password()
	return edm{p, p.build(b, []string{"--preset", "edm"}), append(p.environment(),
		"EDM_TRANSPORT_AMQP_URLS=amqp://"+broker.Host+broker.Path,
		"EDM_TRANSPORT_AMQP_USERNAME="+broker.User.Username(),
		"EDM_TRANSPORT_AMQP_PASSWORD="+password,
		"EDM_TRANSPORT_AMQP_DECLARE=false", // as all of them find it
		"EDM_MAIL_SENDER=log")}
}

// drainEDM has the program that start starts drain the queue, and returns the rate.
// When the program has ended nothing may be left: what was not acknowledged is back in
// the queue then. What was logged is removed, before the disk has work with it while
// another is measured.
func drainEDM(b *testing.B, queue *amqpQueueOf, logs string, start func() (end func())) float64 {
	b.Helper()
	lines := edmLines{dir: logs, read: make(map[string]int64), seen: make([]bool, amqpMessages)}
	began := time.Now()
	end := start()
	for lines.look(b) < amqpMessages {
		if time.Since(began) > time.Minute {
			b.Fatalf("%d of %d messages are in the files of %s after a minute", lines.look(b), amqpMessages, logs)
		}
		time.Sleep(5 * time.Millisecond)
	}
	rate := amqpMessages / time.Since(began).Seconds()
	end()
	if n := queue.abandoned(); n > 0 {
		b.Fatalf("%d messages were logged and not acknowledged", n)
	}
	if err := os.RemoveAll(logs); err != nil {
		b.Fatal(err)
	}
	return rate
}

// edmMark is what a message is known by in a log; its number follows, in 7 digits.
const edmMark = "edm-number-"

func edmBody(number int) []byte {
	body := fmt.Appendf(nil, "%s%07d,", edmMark, number)
	return append(body, strings.Repeat("x", amqpSize-len(body))...)
}

// edmLines are the lines of messages in the files of a folder.
type edmLines struct {
	dir  string
	read map[string]int64 // how much of each file
	seen []bool           // by number
	n    int
}

// look reads what is new, and returns how many messages have lines by now.
func (l *edmLines) look(b *testing.B) int {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(l.dir, "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		text, err := readFrom(name, l.read[name])
		if err != nil {
			b.Fatal(err)
		}
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		l.read[name] += int64(len(whole))
		for line := range bytes.Lines(whole) {
			l.count(b, line)
		}
	}
	return l.n
}

func (l *edmLines) count(b *testing.B, line []byte) {
	b.Helper()
	_, rest, found := bytes.Cut(line, []byte(edmMark))
	if !found {
		return // of something else
	}
	number, err := strconv.Atoi(string(rest[:min(7, len(rest))]))
	if err != nil || number >= len(l.seen) {
		b.Fatalf("logged %q", line)
	}
	if !l.seen[number] {
		l.seen[number] = true
		l.n++
	}
}

func readFrom(name string, offset int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, max(0, info.Size()-offset))
	n, err := file.ReadAt(text, offset)
	if n < len(text) {
		return nil, err
	}
	return text, nil
}
