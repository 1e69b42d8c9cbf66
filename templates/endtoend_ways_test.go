package templates_test

// The ways into a project named feed, as its peers take them.

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// waysIn has each transport: how the service is to be set up before it starts, and
// how it is sent a message, which is answered if the transport answers.
var waysIn = map[string]struct {
	prepare func(f *feed)
	send    func(f *feed, message string)
}{
	"amqp": {(*feed).prepareAMQP, (*feed).sendAMQP},
	"fifo": {func(*feed) {}, (*feed).sendFIFO},
	"tcp": {func(f *feed) { f.setVariable("TRANSPORT_TCP_LISTEN", freeAddress(f.t)) },
		func(f *feed, m string) { f.sendLine("tcp", f.variable("TRANSPORT_TCP_LISTEN"), m) }},
	"timer": {func(f *feed) {
		f.setVariable("TRANSPORT_TIMER_AT_START", "true")
		f.setVariable("TRANSPORT_TIMER_MESSAGE", "by timer")
	}, func(*feed, string) {}},
	"udp": {func(f *feed) { f.setVariable("TRANSPORT_UDP_LISTEN", freeAddress(f.t)) }, (*feed).sendUDP},
	"unix": {func(*feed) {},
		func(f *feed, m string) { f.sendLine("unix", f.path("run/feed.unix.sock"), m) }},
	"zeromq": {func(f *feed) { f.setVariable("TRANSPORT_ZEROMQ_BIND", "tcp://"+freeAddress(f.t)) }, (*feed).sendZeroMQ},
}

// setVariable sets a key of the configuration in the environment.
func (f *feed) setVariable(name, value string) { f.env = append(f.env, "FEED_"+name+"="+value) }

// variable returns what setVariable has set.
func (f *feed) variable(name string) string {
	for _, v := range f.env {
		if value, ok := strings.CutPrefix(v, "FEED_"+name+"="); ok {
			return value
		}
	}
	return ""
}

// sendLine sends a message as a line.
func (f *feed) sendLine(network, address, message string) {
	f.t.Helper()
	conn, err := net.DialTimeout(network, address, requestLimit)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(requestLimit))
	if _, err := io.WriteString(conn, message+"\n"); err != nil {
		f.t.Fatal(err)
	}
	if reply, err := bufio.NewReader(conn).ReadString('\n'); reply != "TRUE\n" {
		f.t.Errorf("%s is answered %q, %v\n%s", message, reply, err, f.logTail())
	}
}

// sendUDP sends a message again until it is answered, as one does over UDP.
func (f *feed) sendUDP(message string) {
	f.t.Helper()
	conn, err := net.Dial("udp", f.variable("TRANSPORT_UDP_LISTEN"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for end := time.Now().Add(requestLimit); time.Now().Before(end); {
		if _, err := io.WriteString(conn, message); err != nil {
			f.t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		buffer := make([]byte, 16)
		n, err := conn.Read(buffer)
		if string(buffer[:n]) == "TRUE" {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			f.t.Fatalf("%s is answered %q, %v\n%s", message, buffer[:n], err, f.logTail())
		}
	}
	f.t.Errorf("%s is not answered\n%s", message, f.logTail())
}

func (f *feed) sendFIFO(message string) {
	f.t.Helper()
	file, err := os.OpenFile(f.path("state/feed.fifo"), os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = io.WriteString(file, message+"\n")
	if err := errors.Join(err, file.Close()); err != nil {
		f.t.Error(err)
	}
}

// requester is a peer of ZeroMQ in the language of the tutorial's time.
const requester = `
import sys, zmq
s = zmq.Context().socket(zmq.REQ)
s.setsockopt(zmq.RCVTIMEO, 30000)
s.setsockopt(zmq.LINGER, 0)
s.connect(sys.argv[1])
s.send_string(sys.argv[2])
print(s.recv_string())
`

func (f *feed) sendZeroMQ(message string) {
	f.t.Helper()
	out := f.do("", tool(f.t, "TEST_ZMQ_PYTHON"), "-c", requester, f.variable("TRANSPORT_ZEROMQ_BIND"), message)
	if out != "TRUE\n" {
		f.t.Errorf("%s is answered %q\n%s", message, out, f.logTail())
	}
}

// prepareAMQP has the service use the broker of the tests, which is left as it was.
func (f *feed) prepareAMQP() {
	f.t.Helper()
	f.useBroker()
	f.t.Cleanup(func() {
		f.broker(func(ch *amqp091.Channel) {
			for _, name := range []string{"feed", "feed.dead"} {
				_, err := ch.QueueDelete(name, false, false, false)
				if err := errors.Join(err, ch.ExchangeDelete(name, false, false)); err != nil {
					f.t.Error(err)
				}
			}
		})
	})
}

// useBroker has the service use the broker of the tests, which it returns.
func (f *feed) useBroker() *url.URL {
	f.t.Helper()
	u, err := url.Parse(os.Getenv("TEST_AMQP_URL"))
	if err != nil {
		f.t.Fatal(err)
	}
	if u.Host == "" {
		f.missing("TEST_AMQP_URL names no broker (make test starts one)")
	}
	password, _ := u.User.Password()
	f.setVariable("TRANSPORT_AMQP_URLS", "amqp://"+u.Host)
	f.setVariable("TRANSPORT_AMQP_USERNAME", u.User.Username())
	f.setVariable("TRANSPORT_AMQP_PASSWORD", password)
	return u
}

// broker does something with the broker of the tests.
func (f *feed) broker(do func(ch *amqp091.Channel)) {
	f.t.Helper()
	conn, err := amqp091.Dial(os.Getenv("TEST_AMQP_URL"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		f.t.Fatal(err)
	}
	do(ch)
}

func (f *feed) sendAMQP(message string) {
	f.t.Helper()
	f.broker(func(ch *amqp091.Channel) {
		if err := ch.Confirm(false); err != nil {
			f.t.Fatal(err)
		}
		confirmation, err := ch.PublishWithDeferredConfirm("feed", "feed", true, false, amqp091.Publishing{Body: []byte(message)})
		if err != nil {
			f.t.Fatal(err)
		}
		if !confirmation.Wait() {
			f.t.Error("the broker did not take the message")
		}
	})
}
