<?php
/*
 * The tutorial's consumer of e-mails (its example 2), as written: each message is
 * acknowledged and then logged, and the limit on messages under way stands after the
 * endless consume, so that the 3 of the library hold.
 *
 *	php edm.php HOST PORT USER PASSWORD LOG-FILE
 *
 * It ends with its standard input. What differs from the listing, and why:
 *
 * - It stays in the foreground and has no commands and no pid file, since the benchmark
 *   starts and ends it; it leaves the umask alone.
 * - Address, password and log file are arguments. The listing has them in a file.
 * - Config and Logging, which the listing does not show, are gone: the first, and for the
 *   second there is the Logger of the tutorial's last example, with its line of
 *   time, type and message.
 * - Declaring has other names: the listing's are those of an older php-amqp.
 */
class Logger
{
    protected $file;

    public function __construct($file)
    {
        $this->file = $file;
    }

    public function logger($type, $message)
    {
        $log = sprintf("%s\t%s\t%s\n", date('Y-m-d H:i:s'), $type, $message);
        file_put_contents($this->file, $log, FILE_APPEND);
    }
}

class EDM
{
    protected $config;
    protected $logging;
    protected $channel;
    protected $exchange;
    protected $queue;

    public function __construct($config, $logging)
    {
        $this->config = $config;
        $this->logging = $logging;
    }

    public function msgqueue()
    {
        $connection = new AMQPConnection($this->config);
        $connection->connect();
        $this->channel = new AMQPChannel($connection);
        $this->exchange = new AMQPExchange($this->channel);
        $this->exchange->setName('email');
        $this->exchange->setType(AMQP_EX_TYPE_DIRECT);
        $this->exchange->setFlags(AMQP_DURABLE);
        $this->exchange->declareExchange();
        $this->queue = new AMQPQueue($this->channel);
        $this->queue->setName('email');
        $this->queue->setFlags(AMQP_DURABLE);
        $this->queue->declareQueue();
        $this->queue->bind('email', 'email');
        while (true) {
            $this->queue->consume(function ($envelope, $queue) {
                $msg = $envelope->getBody();
                $queue->ack($envelope->getDeliveryTag());
                $this->logging->logger('info', '+' . $msg);
            });
            $this->channel->qos(0, 1); // never reached
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

endWithInput();
[, $host, $port, $login, $password, $file] = $argv;
$edm = new EDM(compact('host', 'port', 'login', 'password'), new Logger($file));
$edm->msgqueue();
