# shellcheck shell=bash disable=SC2034 # what services.sh reads
# No server, but clients of ZeroMQ that are not ours: a Python and a PHP with libzmq,
# and a compiler with its headers.

variable=TEST_ZMQ_PYTHON

# Debian's, which the packages are for; others may come first in PATH.
python=/usr/bin/python3 php=/usr/bin/php

missing() {
	"$python" -c 'import zmq' 2>/dev/null || echo python3-zmq
	"$php" -r 'exit(class_exists("ZMQSocket") ? 0 : 1);' 2>/dev/null || echo php-cli php-zmq
	echo '#include <zmq.h>' | cc -E - >/dev/null 2>&1 || echo gcc libzmq3-dev
}

prepare() {
	export_line TEST_ZMQ_PYTHON "$python"
	export_line TEST_ZMQ_PHP "$php"
	export_line TEST_ZMQ_CC cc
}
