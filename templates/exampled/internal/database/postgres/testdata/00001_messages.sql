-- +goose Up

-- The table of the suite databasetest. The service has its own, in migrations.
CREATE TABLE messages (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    message_key VARCHAR(255) COLLATE "C" UNIQUE,
    body        BYTEA NOT NULL
);
