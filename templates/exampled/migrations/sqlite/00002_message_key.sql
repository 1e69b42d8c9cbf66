-- +goose Up

-- What the transport calls the message, if it does: the same when the message
-- is delivered again, so that it is one row.
ALTER TABLE exampled ADD COLUMN message_key TEXT;

-- Messages without a key cost nothing in it.
CREATE UNIQUE INDEX message_key ON exampled (message_key) WHERE message_key IS NOT NULL;
