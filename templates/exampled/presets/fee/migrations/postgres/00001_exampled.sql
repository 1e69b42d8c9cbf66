-- +goose Up

-- One row for each trade. It is 'N' until its work is done: both in one transaction,
-- so that others see 'Y' only. The ticket is the key, by which a trade that is sent
-- again stays one row.
CREATE TABLE IF NOT EXISTS exampled (
    ticket BIGINT NOT NULL PRIMARY KEY,
    login  BIGINT NOT NULL,
    volume NUMERIC(30, 10) NOT NULL,
    status CHAR(1) NOT NULL DEFAULT 'N' CHECK (status IN ('N', 'Y'))
);
