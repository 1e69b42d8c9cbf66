<?php
/*
 * What both forms of the tutorial's fee service do with a message (its example 1):
 * FeeWorker has the connection to the database, Fee stores one message. What differs
 * from the listing, and why:
 *
 * - No class extends one of pthreads, which ended with PHP 7. Hence a Fee is given its
 *   worker by whoever runs it.
 * - Address, password and database are arguments: HOST PORT USER PASSWORD DATABASE.
 * - What is received is not printed, which would only cost time.
 * - The error log is standard error and names the message; the variables that the
 *   listing names there are never set. No error is expected: without its row a message
 *   ends the benchmark.
 *
 * Of the daemon around it, the process stays in the foreground, writes no pid file and
 * keeps its user, since the benchmark starts and ends it.
 */
class FeeWorker
{
    protected static $dbh;

    public function run($host, $port, $user, $password, $database)
    {
        self::$dbh = new PDO("mysql:host=$host;port=$port;dbname=$database", $user, $password, [
            PDO::MYSQL_ATTR_COMPRESS => true,
            PDO::ATTR_PERSISTENT => true,
        ]);
    }

    public function getInstance()
    {
        return self::$dbh;
    }
}

class Fee
{
    protected $message;
    protected $data;

    public function __construct($message)
    {
        $this->message = $message;
        $this->data = explode(',', $message);
    }

    public function run($worker)
    {
        try {
            $dbh = $worker->getInstance();

            $sth = $dbh->prepare("INSERT INTO fee(ticket, login, volume, `status`) VALUES(:ticket, :login, :volume, 'N')");
            $sth->bindValue(':ticket', $this->data[0]);
            $sth->bindValue(':login', $this->data[1]);
            $sth->bindValue(':volume', $this->data[2]);
            $sth->execute();
            $sth = null;

            $sth = $dbh->prepare("UPDATE fee SET `status` = 'Y' WHERE ticket = :ticket and `status` = 'N'");
            $sth->bindValue(':ticket', $this->data[0]);
            $sth->execute();
        } catch (PDOException $e) {
            fprintf(STDERR, "%s: %s\n", $this->message, $e->getMessage());
        }
    }
}

/* A process that waits for the end of standard input, and then ends its parent. */
function endWithInput()
{
    if (pcntl_fork() === 0) {
        while (fgets(STDIN) !== false);
        posix_kill(posix_getppid(), SIGKILL);
        exit;
    }
}

/* The socket of the service, on a free port, which is printed. */
function listen()
{
    $zmq = new ZMQSocket(new ZMQContext(), ZMQ::SOCKET_REP);
    $zmq->bind('tcp://127.0.0.1:*');
    echo $zmq->getSockOpt(ZMQ::SOCKOPT_LAST_ENDPOINT), "\n";
    return $zmq;
}
