# shellcheck shell=bash disable=SC2034,SC2154 # what services.sh reads and sets
# MariaDB, which speaks the protocol of MySQL.

variable=TEST_MYSQL_DSN
user=mysql
signal=TERM

program() { command -v mariadbd || command -v mysqld; }

missing() { program >/dev/null || echo mariadb-server; }

# The default way to make the data leaves a root without a password on the port:
# here root is let in by the socket alone, and by who it is. Names of hosts are not
# looked up, so the user of the tests is one of any address, on loopback only.
prepare() {
	local password socket
	password=$(secret) && socket=$(socket_path "$dir/s") || return 1
	# As root too the program is called as the user, which owns the folder.
	quietly "$(command -v mariadb-install-db || command -v mysql_install_db)" --no-defaults --datadir="$dir/data" \
		--auth-root-authentication-method=socket --skip-test-db --skip-name-resolve \
		--innodb-log-file-size=48M || return 1
	# Done at every start; the port is opened after it.
	cat >"$dir/init.sql" <<SQL || return 1
CREATE DATABASE IF NOT EXISTS tests CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'tester'@'%' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO 'tester'@'%' WITH GRANT OPTION;
SQL
	own "$dir/init.sql" || return 1
	export_line TEST_MYSQL_DSN "tester:$password@tcp(127.0.0.1:$port)/tests?parseTime=true"
	export_line TEST_MYSQL_SOCKET "$socket"
}

start() {
	local -a sync=()
	# 2 writes each commit to the system, which a killed server does not take with it.
	[[ $SERVICES_SYNC == on ]] || sync=(--innodb-flush-log-at-trx-commit=2)
	# --no-defaults has to be first. The log of 48 MB instead of 96 is quicker to make.
	launch "$(program)" --no-defaults --datadir="$dir/data" --tmpdir="$dir" --socket="$dir/s" \
		--pid-file="$dir/mariadb.pid" --bind-address=127.0.0.1 --port="$port" --skip-name-resolve \
		--max-connections=512 --character-set-server=utf8mb4 --innodb-log-file-size=48M \
		--init-file="$dir/init.sql" "${sync[@]}"
}

# The server speaks first.
answers() { [[ -n $(greeting "$port" '') ]]; }
