"""Peers of libzmq. Called with the name of a check and its arguments; it fails with
an exception, whose text says what was wrong."""

import os
import signal
import sys
import threading
import time

import zmq

PATIENCE = 20000  # milliseconds; no check waits for so long unless it fails
context = zmq.Context()


def socket(kind, address, bind=False, **options):
    s = context.socket(kind)
    s.linger, s.rcvtimeo, s.sndtimeo = 0, PATIENCE, PATIENCE
    for name, value in options.items():
        setattr(s, name, value)
    if kind == zmq.SUB:
        s.subscribe(b"")
    end = time.time() + PATIENCE / 1000
    while True:
        try:
            (s.bind if bind else s.connect)(address)
            return s
        except zmq.ZMQError as e:
            # A socket that is closed has its address for a moment longer.
            if e.errno != zmq.EADDRINUSE or time.time() > end:
                raise
            time.sleep(0.01)


def want(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, want {wanted!r}")


def ask(s, body):
    s.send(body)
    want(s.recv(), b"TRUE")


def refused(address, **options):
    """No answer comes to such a client, and whoever is let in is answered at once."""
    s = socket(zmq.REQ, address, rcvtimeo=1000, **options)
    s.send(b"refused")
    try:
        raise AssertionError(f"answered {s.recv()!r}")
    except zmq.Again:
        s.close()


def simple(address):
    s = socket(zmq.REQ, address)
    for body in (b"one", b"", b"two"):
        ask(s, body)


def concurrent(address):
    for n in (1, 10, 100, 1000):
        clients = [socket(zmq.REQ, address) for _ in range(n)]
        for turn in range(20):
            for i, s in enumerate(clients):
                s.send(b"%d-%d-%d" % (n, i, turn))
            for s in clients:
                want(s.recv(), b"TRUE")
        for s in clients:
            s.close()


def killed(address):
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            own = zmq.Context()
            clients = [own.socket(zmq.REQ) for _ in range(200)]
            for s in clients:
                s.connect(address)
                s.send(b"killed")
            clients[0].recv()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        ask(socket(zmq.REQ, address), b"alive")


def dealer(address):
    """Pipelining, envelopes of any depth, and what is no request in between."""
    d = socket(zmq.DEALER, address, sndhwm=0, rcvhwm=0)
    for i in range(500):
        d.send_multipart([b"hop", b"%d" % i, b"", b"body"])
        d.send(b"no delimiter")
    ids = {int(d.recv_multipart()[1]) for _ in range(500)}
    want(ids, set(range(500)))
    d.send_multipart([b"", b"last"])
    want(d.recv_multipart(), [b"", b"TRUE"])


def proxy(address):
    """REQ - ROUTER DEALER - ROUTER DEALER - the service."""
    places = ["inproc://one", "inproc://two"]
    for front, back in ((places[0], address), (places[1], places[0])):
        r, d = socket(zmq.ROUTER, front, bind=True, rcvtimeo=-1), socket(zmq.DEALER, back)
        threading.Thread(target=zmq.proxy, args=(r, d), daemon=True).start()
    clients = [socket(zmq.REQ, places[1]) for _ in range(20)]
    for turn in range(20):
        for s in clients:
            s.send(b"through two proxies %d" % turn)
        for s in clients:
            want(s.recv(), b"TRUE")
    os._exit(0)  # the proxies know no end


def sizes(address):
    s = socket(zmq.REQ, address)
    for n in (0, 1, 254, 255, 256, 64 << 10, 1 << 20, 50 << 20):
        ask(s, b"x" * n)


def limit(address, most):
    ask(socket(zmq.REQ, address), b"x" * int(most))
    refused_size = socket(zmq.REQ, address, rcvtimeo=1000)
    refused_size.send(b"x" * (int(most) + 1))
    try:
        raise AssertionError(f"answered {refused_size.recv()!r}")
    except zmq.Again:
        pass
    ask(socket(zmq.REQ, address), b"alive")


def cycles(address):
    for i in range(1000):
        s = socket(zmq.REQ, address)
        if i % 2:
            ask(s, b"%d" % i)
        s.close()


def flood(address):
    """A DEALER that never reads is no hindrance to anybody else."""
    d = socket(zmq.DEALER, address, rcvhwm=1, rcvbuf=4096, sndtimeo=0)
    for _ in range(300000):
        try:
            d.send_multipart([b"", b"flood"])
        except zmq.Again:
            break
    for _ in range(20):
        ask(socket(zmq.REQ, address), b"good")


def heartbeat(address, *keys):
    s = socket(zmq.REQ, address, heartbeat_ivl=50, heartbeat_timeout=2000, heartbeat_ttl=5000, **credentials(*keys))
    monitor = s.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    ask(s, b"before")
    if monitor.poll(500):
        raise AssertionError("the client has given up the service")
    ask(s, b"after")


def identity(address):
    """Routing ids, of which two may be the same, are the peer's own business."""
    for _ in range(2):
        s = socket(zmq.REQ, address, routing_id=b"same")
        ask(s, b"one")


def steady(address, seconds, clients):
    """Clients that ask all the time; prints how many requests there were. Each has
    to be answered."""
    end, counts, failures = time.time() + float(seconds), [], []

    def run():
        try:
            s, n = socket(zmq.REQ, address), 0
            while time.time() < end:
                ask(s, b"steady")
                n += 1
            counts.append(n)
        except Exception as e:  # in a thread, where it would get lost
            failures.append(repr(e))

    threads = [threading.Thread(target=run) for _ in range(int(clients))]
    for t in threads:
        t.start()
    print("begun", flush=True)
    for t in threads:
        t.join()
    want(failures, [])
    print(sum(counts))


def inflight(address, n):
    """Requests that wait for their answer, which all of them get."""
    clients = [socket(zmq.REQ, address) for _ in range(int(n))]
    for i, s in enumerate(clients):
        s.send(b"in flight %d" % i)
    print("begun", flush=True)
    for s in clients:
        want(s.recv(), b"TRUE")


def push(address, n):
    s = socket(zmq.PUSH, address, linger=-1)
    for i in range(int(n)):
        s.send(b"%d" % i)
    s.close()
    context.term()


def leaving(address):
    for p in range(50):
        s = socket(zmq.PUSH, address, linger=-1)
        for i in range(1000):
            s.send(b"leaving")
        s.close()
    context.term()


def publish(kind, address, *keys):
    """Three publishers, one after the other at the same place, of 1000 messages in
    each of the topics that are wanted and not."""
    for turn in range(3):
        s = socket(getattr(zmq, kind), address, bind=True, sndhwm=0, xpub_verbose=True, **servers(*keys))
        if kind == "XPUB":
            topics = {s.recv(), s.recv()}
            want(topics, {b"\x01a", b"\x01b"})
        for i in range(1000):
            for topic in (b"a", b"b", b"c"):
                s.send(topic + b"%d-%d" % (turn, i))
        if kind == "XPUB":
            # It keeps what it has sent only as long as it lives.
            print("sent", flush=True)
            sys.stdin.readline()
        s.close()


def servers(secret=None):
    if secret is None:
        return {}
    # In this order: a key makes a client of the socket.
    return {"curve_secretkey": secret.encode(), "curve_publickey": zmq.curve_public(secret.encode()), "curve_server": True}


def credentials(secret=None, server=None):
    if secret is None:
        return {}
    secret = secret.encode()
    return {"curve_secretkey": secret, "curve_publickey": zmq.curve_public(secret), "curve_serverkey": server.encode()}


def plain(address):
    for _ in range(3):
        ask(socket(zmq.REQ, address, plain_username=b"user", plain_password=b"password"), b"one")
    refused(address, plain_username=b"user", plain_password=b"passwore")
    refused(address, plain_username=b"used", plain_password=b"password")
    refused(address)


def curve(address, secret, server):
    good = credentials(secret, server)
    for n in (0, 1, 255, 256, 100000):
        ask(socket(zmq.REQ, address, **good), b"x" * n)
    d = socket(zmq.DEALER, address, **good)
    for i in range(500):
        d.send_multipart([b"%d" % i, b"", b"body"])
    want({int(d.recv_multipart()[0]) for _ in range(500)}, set(range(500)))
    public, other = zmq.curve_keypair()
    refused(address, **{**good, "curve_secretkey": other, "curve_publickey": public})
    refused(address, **{**good, "curve_serverkey": public})
    refused(address)
    refused(address, plain_username=b"user", plain_password=b"password")


def keypair():
    public, secret = zmq.curve_keypair()
    print(public.decode())
    print(secret.decode())


globals()[sys.argv[1]](*sys.argv[2:])
