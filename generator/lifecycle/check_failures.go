package lifecycle

import (
	"net"
	"os"
	"strconv"
)

func (d *driver) checkStartBroken() {
	d.configure(threeProblems)
	if o := d.want(6, problemPattern, "start"); o.stdout != "" {
		d.failf("want nothing on stdout; %s", o)
	}
	d.must(os.Remove(d.configFile()))
	d.want(6, "", "start")
	d.configure(d.config)
	d.down()
}

func (d *driver) checkPortTaken() {
	if len(d.ports) == 0 {
		d.skipf("it listens on no port")
	}
	listener, err := net.Listen("tcp", loopback(d.ports[0]))
	d.must(err)
	defer func() { _ = listener.Close() }()
	if o := d.want(1, `\b`+strconv.Itoa(d.ports[0])+`\b`, "start"); o.stdout != "" {
		d.failf("want nothing on stdout; %s", o)
	}
	d.down()
}
