-- +goose Up

-- The table of the suite databasetest. The service has its own, in migrations.
CREATE TABLE messages (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    received_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    message_key VARBINARY(255) NULL UNIQUE,
    body        LONGBLOB NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
