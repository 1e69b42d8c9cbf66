-- +goose Up

-- The table of the suite databasetest. The service has its own, in migrations.
CREATE TABLE messages (
    id          INTEGER PRIMARY KEY,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    message_key TEXT UNIQUE,
    body        TEXT NOT NULL
);
