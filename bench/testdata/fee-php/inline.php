<?php
/*
 * The tutorial's fee service without its pool: the loop that receives does the work,
 * and answers TRUE when that is done.
 *
 *	php inline.php HOST PORT USER PASSWORD DATABASE
 *
 * It prints the address that it listens on, and ends with its standard input. fee.php
 * says what differs from the listing.
 */
require __DIR__ . '/fee.php';

endWithInput();
$worker = new FeeWorker();
$worker->run(...array_slice($argv, 1));
$zmq = listen();

while ($message = $zmq->recv()) {
    (new Fee($message))->run($worker);
    $zmq->send('TRUE');
}
