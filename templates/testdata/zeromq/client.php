<?php
// A client as they are written in PHP: php client.php ADDRESS
$socket = new ZMQSocket(new ZMQContext(), ZMQ::SOCKET_REQ);
$socket->setSockOpt(ZMQ::SOCKOPT_RCVTIMEO, 20000);
$socket->setSockOpt(ZMQ::SOCKOPT_LINGER, 0);
$socket->connect($argv[1]);
foreach (['1,client,12.50', '', str_repeat('x', 100000)] as $body) {
    $reply = $socket->send($body)->recv();
    if ($reply !== 'TRUE') {
        fwrite(STDERR, 'answered ' . var_export($reply, true) . "\n");
        exit(1);
    }
}
