# shellcheck shell=bash disable=SC2034,SC2154 # what services.sh reads and sets
# RabbitMQ.

variable=TEST_AMQP_URL
user=rabbitmq
signal=TERM
# It takes seconds to end in order, and its data go anyway.
signal_down=KILL

# Not /usr/sbin/rabbitmq-server, which changes the user and the folder by itself.
program=/usr/lib/rabbitmq/bin/rabbitmq-server

missing() { [[ -x $program ]] || echo rabbitmq-server; }

prepare() {
	local password
	password=$(secret) && free_port >"$dir/distribution" && mkdir -p "$dir/data" "$dir/log" &&
		secret >"$dir/.erlang.cookie" && chmod 400 "$dir/.erlang.cookie" && echo '[].' >"$dir/plugins" || return 1
	cat >"$dir/rabbitmq.conf" <<CONF || return 1
listeners.tcp.1 = 127.0.0.1:$port
default_user = tester
default_pass = $password
loopback_users.tester = true
log.console = false
log.file.level = warning
CONF
	control >"$dir/rabbitmqctl" && chmod 700 "$dir/rabbitmqctl" && own "$dir" || return 1
	export_line TEST_AMQP_CTL "$dir/rabbitmqctl"
	export_line TEST_AMQP_URL "amqp://tester:$password@127.0.0.1:$port/"
}

# RabbitMQ starts an epmd, a registry of nodes for the whole machine that outlives
# it, unless it finds distribution up, as these arguments have it. Erlang registers
# with a running one all the same, and would be refused if it had another node of
# the name, or wait ten seconds for a deaf one: hence a port on which there is none.
# A long name with an address needs no resolver.
distribution() {
	echo "-noinput -name tests@127.0.0.1 -start_epmd false -erl_epmd_port $(<"$dir/distribution")" \
		'-kernel inet_dist_use_interface {127,0,0,1}'
}

# rabbitmqctl for this broker. Its cookie is in HOME, and without an epmd the port of
# the node is what both sides are told; the client must not listen on it itself.
control() {
	cat <<CTL
#!/bin/sh
exec env -i PATH="\$PATH" LC_ALL=C.UTF-8 HOME='$dir' RABBITMQ_CONF_ENV_FILE='$dir/none' \\
	RABBITMQ_CTL_ERL_ARGS='-start_epmd false -erl_epmd_port $(<"$dir/distribution") -dist_listen false' \\
	/usr/lib/rabbitmq/bin/rabbitmqctl --longnames --node tests@127.0.0.1 "\$@"
CTL
}

# RABBITMQ_ALLOW_INPUT has the script become the server, under the same pid. A file
# that is not there keeps it from /etc/rabbitmq/rabbitmq-env.conf. HOME, which has
# the cookie, is $dir.
start() {
	launch RABBITMQ_ALLOW_INPUT=1 "RABBITMQ_CONF_ENV_FILE=$dir/none" "RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf" \
		"RABBITMQ_ADVANCED_CONFIG_FILE=$dir/none.config" "RABBITMQ_ENABLED_PLUGINS_FILE=$dir/plugins" \
		"RABBITMQ_MNESIA_BASE=$dir/data" "RABBITMQ_LOG_BASE=$dir/log" "RABBITMQ_LOGS=$dir/log/rabbit.log" \
		RABBITMQ_NODENAME=tests@127.0.0.1 RABBITMQ_USE_LONGNAME=true ERL_EPMD_PORT=1 \
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=$(distribution)" "$program"
}

# To a client's header the broker answers with the frame of a method, which is type 1.
answers() { [[ $(greeting "$port" 'AMQP\0\0\011\001') == $'\001' ]]; }
