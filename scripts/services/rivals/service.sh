# shellcheck shell=bash disable=SC2034 # what services.sh reads
# No server, but what the benchmarks compare with: a PHP with the libraries of the
# tutorial, and what Go needs to find libzmq, whose headers the service zmq brings.

variable=TEST_RIVALS_PHP

# Debian's, which the packages are for; others may come first in PATH.
php=/usr/bin/php

missing() {
	"$php" -r 'exit(class_exists("ZMQSocket") && class_exists("AMQPQueue") && in_array("mysql", PDO::getAvailableDrivers()) ? 0 : 1);' \
		>/dev/null 2>&1 || echo php-cli php-zmq php-amqp php-mysql
	command -v pkg-config >/dev/null || echo pkg-config
}

prepare() { export_line TEST_RIVALS_PHP "$php"; }
