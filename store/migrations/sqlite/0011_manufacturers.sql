-- Authorities of manufacturers: as in Postgres.
CREATE TABLE manufacturer_authorities (
    fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
    subject TEXT NOT NULL,
    der BLOB NOT NULL,
    batch TEXT NOT NULL REFERENCES batches (name),
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;

CREATE TABLE manufacturer_enrolments (
    fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
    authority BLOB NOT NULL REFERENCES manufacturer_authorities (fingerprint),
    issuer BLOB NOT NULL,
    serial TEXT NOT NULL,
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    UNIQUE (authority, issuer, serial)
) STRICT;
