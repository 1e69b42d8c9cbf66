-- +goose Up

-- One statement in each file: MySQL commits with each change of a table, and a
-- file that fails half-way would have left its beginning done.

-- One row for each message. The key is what the transport calls the message, if
-- it does: the same when the message is delivered again, so that it is one row.
-- It is of bytes, because collations take some different keys for equal.
CREATE TABLE IF NOT EXISTS exampled (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    received_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), -- UTC, as all sessions of the service
    message_key VARBINARY(255) NULL UNIQUE,
    body        LONGBLOB NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
