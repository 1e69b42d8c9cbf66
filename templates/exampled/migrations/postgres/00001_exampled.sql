-- +goose Up

-- One row for each message. The key is what the transport calls the message, if
-- it does: the same when the message is delivered again, so that it is one row.
CREATE TABLE IF NOT EXISTS exampled (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    message_key VARCHAR(255) COLLATE "C",
    body        BYTEA NOT NULL
);

-- Messages without a key cost nothing in it.
CREATE UNIQUE INDEX IF NOT EXISTS exampled_message_key ON exampled (message_key) WHERE message_key IS NOT NULL;
