/*
 * What our transport is measured against: the least that a program with libzmq can
 * do. "echo router" answers every message with itself, "echo pull" takes messages
 * and forgets them. It prints the address that it listens on, and ends with its
 * standard input.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static void check(int ok, const char *what) {
	if (!ok) {
		fprintf(stderr, "echo: %s: %s\n", what, zmq_strerror(zmq_errno()));
		exit(1);
	}
}

static void *wait_for_end(void *unused) {
	char c;
	(void)unused;
	while (read(0, &c, 1) > 0) {
	}
	_exit(0);
}

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: echo router|pull\n");
		return 2;
	}
	int answers = strcmp(argv[1], "router") == 0;
	void *context = zmq_ctx_new();
	void *socket = zmq_socket(context, answers ? ZMQ_ROUTER : ZMQ_PULL);
	check(socket != NULL, "zmq_socket");
	check(zmq_bind(socket, "tcp://127.0.0.1:*") == 0, "zmq_bind");
	char address[128];
	size_t size = sizeof address;
	check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address, &size) == 0, "ZMQ_LAST_ENDPOINT");
	printf("%s\n", address);
	fflush(stdout);
	pthread_t thread;
	check(pthread_create(&thread, NULL, wait_for_end, NULL) == 0, "pthread_create");

	zmq_msg_t message;
	zmq_msg_init(&message);
	for (;;) {
		check(zmq_msg_recv(&message, socket, 0) >= 0, "zmq_msg_recv");
		if (answers) {
			int flags = zmq_msg_more(&message) ? ZMQ_SNDMORE : 0;
			check(zmq_msg_send(&message, socket, flags) >= 0, "zmq_msg_send");
		}
	}
}
