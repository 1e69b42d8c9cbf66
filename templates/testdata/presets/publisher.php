<?php
// What publishes mails for the tutorial's EDM: it declares the exchange and the queue
// as that does, and sends each of its arguments:
//
//     php publisher.php HOST PORT USER PASSWORD MESSAGE...
$connection = new AMQPConnection(['host' => $argv[1], 'port' => $argv[2], 'login' => $argv[3], 'password' => $argv[4]]);
$connection->connect();
$channel = new AMQPChannel($connection);
$exchange = new AMQPExchange($channel);
$exchange->setName('email');
$exchange->setType(AMQP_EX_TYPE_DIRECT);
$exchange->setFlags(AMQP_DURABLE);
$exchange->declareExchange();
$queue = new AMQPQueue($channel);
$queue->setName('email');
$queue->setFlags(AMQP_DURABLE);
$queue->declareQueue();
$queue->bind('email', 'email');
$channel->confirmSelect();
$channel->setConfirmCallback(fn () => false, function () { exit(1); });
foreach (array_slice($argv, 5) as $message) {
    $exchange->publish($message, 'email', AMQP_NOPARAM, ['delivery_mode' => 2]);
    $channel->waitForConfirm(20);
}
$connection->disconnect();
