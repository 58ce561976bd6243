-- Batches of devices, the stations that make them without a network, and what was odd about their logs: as in Postgres.

CREATE TABLE batches (
    name TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    quota INTEGER NOT NULL CHECK (quota > 0),
    made INTEGER NOT NULL DEFAULT 0 CHECK (made >= 0 AND made <= quota),
    until_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
-- The end is the first of January 9999.
INSERT INTO batches (name, model, quota, made, until_at, created_at)
    SELECT batch, min(model), count(*), count(*), 253370764800000000, min(created_at)
    FROM devices WHERE batch IS NOT NULL GROUP BY batch;
CREATE INDEX devices_of_batch ON devices (batch, id) WHERE batch IS NOT NULL;

CREATE TABLE factory_stations (
    name TEXT PRIMARY KEY,
    public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE factory_logs (
    station TEXT NOT NULL REFERENCES factory_stations (name),
    batch TEXT NOT NULL REFERENCES batches (name),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    imported_at INTEGER NOT NULL,
    PRIMARY KEY (station, batch)
) STRICT;

CREATE TABLE factory_devices (
    device_id BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    station TEXT NOT NULL,
    batch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    label_prints INTEGER NOT NULL DEFAULT 1,
    UNIQUE (station, batch, seq)
) STRICT;

CREATE TABLE batch_findings (
    batch TEXT NOT NULL REFERENCES batches (name) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('overrun', 'late', 'duplicate', 'reprint')),
    subject TEXT NOT NULL,
    source TEXT NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (batch, kind, subject, source)
) STRICT;
