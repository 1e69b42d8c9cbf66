-- +goose Up

-- One row for each trade. It is 'N' until its work is done: both in one transaction,
-- so that others see 'Y' only. The ticket is the key, by which a trade that is sent
-- again stays one row. The volume is a text, since SQLite has no decimals but floats.
CREATE TABLE IF NOT EXISTS exampled (
    ticket INTEGER NOT NULL PRIMARY KEY,
    login  INTEGER NOT NULL,
    volume TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'N' CHECK (status IN ('N', 'Y'))
);
