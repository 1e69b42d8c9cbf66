<?php
/*
 * The tutorial's fee service with a pool, and its answer before the work: TRUE says
 * that a worker will have the message, not that it is stored.
 *
 *	php pool.php HOST PORT USER PASSWORD DATABASE
 *
 * It prints the address that it listens on, and ends with its standard input. fee.php
 * says what differs from the listing, and further:
 *
 * - The workers are processes. Each has a connection of its own, and takes messages
 *   from a socket, a line each. The loop that receives gives them out in turn, as the
 *   listing's pool does.
 * - They are 8 and not MAXCONN's 100, which are slower by a quarter and take ten times
 *   the memory: the rival is the fastest form of the pool.
 * - What waits for a worker is bounded, by the buffer of its socket. The listing's pool
 *   grows for as long as there is memory.
 */
require __DIR__ . '/fee.php';

const WORKERS = 8;

class Pool
{
    protected $sockets = [];
    protected $next = 0;

    public function __construct($size, $arguments)
    {
        for ($i = 0; $i < $size; $i++) {
            [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
            if (pcntl_fork() === 0) {
                // With those of the others open, these would not see their end.
                array_map('fclose', [$ours, ...$this->sockets]);
                $this->work($theirs, $arguments);
                exit;
            }
            fclose($theirs);
            $this->sockets[] = $ours;
        }
    }

    /* Until the socket ends, which it does with the loop that receives. */
    protected function work($socket, $arguments)
    {
        $worker = new FeeWorker();
        $worker->run(...$arguments);
        while (($line = fgets($socket)) !== false) {
            (new Fee(rtrim($line, "\n")))->run($worker);
        }
    }

    /* Gives the message to the next worker, and waits while that one has too many. */
    public function submit($message)
    {
        fwrite($this->sockets[$this->next], "$message\n");
        $this->next = ($this->next + 1) % count($this->sockets);
    }
}

endWithInput();
$pool = new Pool(WORKERS, array_slice($argv, 1));
$zmq = listen();

while ($message = $zmq->recv()) {
    $pool->submit($message);
    $zmq->send('TRUE');
}
