"""Traders: REQ sockets that send trades, each again until it is answered.

    traders.py ADDRESS CLIENTS FIRST COUNT

COUNT trades, with the tickets from FIRST on, by so many clients. A line is printed for
each answer, TICKET ANSWER. A request without an answer for a while is sent again on a
new socket, since a REQ socket waits for ever.
"""
import sys
import threading

import zmq

address, clients, first, count = sys.argv[1], *map(int, sys.argv[2:5])
context = zmq.Context()
lock = threading.Lock()
tickets = iter(range(first, first + count))


def following():
    with lock:
        return next(tickets, None)


def connect():
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.rcvtimeo = 500
    socket.connect(address)
    return socket


def trade():
    socket = connect()
    while (ticket := following()) is not None:
        while True:
            socket.send_string(f"{ticket},{ticket % 100},{ticket % 1000}.25")
            try:
                answer = socket.recv_string()
                break
            except zmq.Again:
                socket.close()
                socket = connect()
        with lock:
            print(ticket, answer, flush=True)
    socket.close()


traders = [threading.Thread(target=trade) for _ in range(clients)]
for t in traders:
    t.start()
for t in traders:
    t.join()
