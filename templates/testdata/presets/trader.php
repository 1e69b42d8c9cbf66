<?php
// One REQ socket that sends each of its arguments, and prints the answers:
//
//     php trader.php ADDRESS REQUEST...
$socket = new ZMQSocket(new ZMQContext(), ZMQ::SOCKET_REQ);
$socket->setSockOpt(ZMQ::SOCKOPT_LINGER, 0);
$socket->setSockOpt(ZMQ::SOCKOPT_RCVTIMEO, 20000);
$socket->connect($argv[1]);
foreach (array_slice($argv, 2) as $request) {
    $socket->send($request);
    echo $socket->recv(), "\n";
}
