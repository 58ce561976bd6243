-- Batches of devices, the stations that make them without a network, and what was odd about their logs.

-- `made` counts the devices of a batch: it moves in the transaction that makes them, and never above the quota.
CREATE TABLE batches (
    name text PRIMARY KEY,
    model text NOT NULL,
    quota bigint NOT NULL CHECK (quota > 0),
    made bigint NOT NULL DEFAULT 0 CHECK (made >= 0 AND made <= quota),
    until_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
-- Batches that were a label only so far stay open for enrolment, and take no further devices.
INSERT INTO batches (name, model, quota, made, until_at, created_at)
    SELECT batch, min(model), count(*), count(*), '9999-01-01 00:00:00+00', min(created_at)
    FROM devices WHERE batch IS NOT NULL GROUP BY batch;
CREATE INDEX devices_of_batch ON devices (batch, id) WHERE batch IS NOT NULL;

-- The key with which a station signs its logs: Ed25519, 32 bytes.
CREATE TABLE factory_stations (
    name text PRIMARY KEY,
    public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

-- Up to where the log of a station for a batch was taken over: its later versions must go on from there.
CREATE TABLE factory_logs (
    station text NOT NULL REFERENCES factory_stations (name),
    batch text NOT NULL REFERENCES batches (name),
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (station, batch)
);

-- Where a device comes from: the line of a station's log.
CREATE TABLE factory_devices (
    device_id uuid PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    station text NOT NULL,
    batch text NOT NULL,
    seq bigint NOT NULL,
    made_at timestamptz NOT NULL,
    label_prints bigint NOT NULL DEFAULT 1,
    UNIQUE (station, batch, seq)
);

-- What somebody should look at: a device beyond the quota or the date, one that is in two logs, a label that was printed again.
CREATE TABLE batch_findings (
    batch text NOT NULL REFERENCES batches (name) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('overrun', 'late', 'duplicate', 'reprint')),
    subject text NOT NULL,
    source text NOT NULL,
    detail text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (batch, kind, subject, source)
);
