/*
 * Peers that send as fast as they can, all of them libzmq's:
 *
 *	load req ADDRESS CLIENTS   each client has one request under way
 *	load push ADDRESS SIZE     one client, messages of so many bytes
 *	load idle ADDRESS CLIENTS  each client has asked once
 *	load fee ADDRESS CLIENTS   as req, of the tutorial's fee service
 *
 * For each line with a number of milliseconds on standard input it runs for so
 * long, and prints how many messages a second there were. It ends with its input.
 *
 * A request for a fee is ticket,login,volume, no ticket twice, not in another run
 * either. Its answer has to be TRUE. What is printed is how many there were: how long
 * they took is only known when they are stored.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static void check(int ok, const char *what) {
	if (!ok) {
		fprintf(stderr, "load: %s: %s\n", what, zmq_strerror(zmq_errno()));
		exit(1);
	}
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *context;

static void *client(int type, const char *address) {
	void *socket = zmq_socket(context, type);
	int none = 0;
	check(socket != NULL, "zmq_socket");
	check(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0, "ZMQ_LINGER");
	check(zmq_connect(socket, address) == 0, "zmq_connect");
	return socket;
}

static const char request[] = "1,client,12.50";

static int64_t ticket; /* the last, 0 if what is sent is no fee */

static void ask(void *socket) {
	char fee[64];
	const char *text = request;
	if (ticket != 0) {
		snprintf(fee, sizeof fee, "%" PRId64 ",1001,12.50", ++ticket);
		text = fee;
	}
	check(zmq_send(socket, text, strlen(text), 0) >= 0, "zmq_send");
}

static void take(void *socket) {
	char reply[64];
	int size = zmq_recv(socket, reply, sizeof reply, 0);
	check(size > 0, "zmq_recv");
	if (ticket != 0 && (size != 4 || memcmp(reply, "TRUE", 4) != 0)) {
		fprintf(stderr, "load: a fee was answered %.*s, not TRUE\n", size < 64 ? size : 64, reply);
		exit(1);
	}
}

/* Returns how many requests were answered; all are when it returns. */
static long requests(zmq_pollitem_t *clients, int n, double until) {
	long answered = 0;
	int waiting = n;
	for (int i = 0; i < n; i++)
		ask(clients[i].socket);
	while (waiting > 0) {
		check(zmq_poll(clients, n, 10000) > 0, "no answer within 10 s");
		int going = now() < until;
		for (int i = 0; i < n; i++) {
			if (!(clients[i].revents & ZMQ_POLLIN))
				continue;
			take(clients[i].socket);
			answered++;
			if (going)
				ask(clients[i].socket);
			else
				waiting--;
		}
	}
	return answered;
}

static long pushes(void *socket, size_t size, double until) {
	long sent = 0;
	while (now() < until) {
		for (int i = 0; i < 1000; i++, sent++) {
			zmq_msg_t message;
			check(zmq_msg_init_size(&message, size) == 0, "zmq_msg_init_size");
			memset(zmq_msg_data(&message), 'x', size);
			check(zmq_msg_send(&message, socket, 0) >= 0, "zmq_msg_send");
		}
	}
	return sent;
}

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: load req|push|idle|fee ADDRESS NUMBER\n");
		return 2;
	}
	int push = strcmp(argv[1], "push") == 0, idle = strcmp(argv[1], "idle") == 0;
	int fee = strcmp(argv[1], "fee") == 0;
	if (fee)
		ticket = time(NULL) * INT64_C(1000000); /* fewer than that are sent in a second */
	int number = atoi(argv[3]), n = push ? 1 : number;
	context = zmq_ctx_new();
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, n + 16);
	zmq_pollitem_t *clients = calloc(n, sizeof *clients);
	for (int i = 0; i < n; i++) {
		clients[i].socket = client(push ? ZMQ_PUSH : ZMQ_REQ, argv[2]);
		clients[i].events = ZMQ_POLLIN;
	}
	if (idle) {
		requests(clients, n, 0);
		printf("0\n");
		fflush(stdout);
	}
	char line[64];
	while (fgets(line, sizeof line, stdin) != NULL) {
		double began = now(), until = began + atoi(line) / 1e3;
		long count = push ? pushes(clients[0].socket, number, until) : requests(clients, n, until);
		printf("%.0f\n", fee ? count : count / (now() - began));
		fflush(stdout);
	}
	return 0;
}
