-- +goose Up

-- One row for each message. SQLite keeps any bytes in a TEXT, as they are. The id
-- is one more than the highest there is: AUTOINCREMENT, which never gives that of
-- a row again that was removed, would write to another table with each commit.
CREATE TABLE IF NOT EXISTS feed (
    id          INTEGER PRIMARY KEY,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- UTC
    body        TEXT NOT NULL
);
