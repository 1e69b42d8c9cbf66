-- Run at each start, so each statement does nothing if it was done before.

-- One row for each message. SQLite keeps any bytes in a TEXT, as they are.
CREATE TABLE IF NOT EXISTS feed (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- UTC
    body        TEXT NOT NULL
);
