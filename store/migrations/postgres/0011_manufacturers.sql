-- Authorities of manufacturers: a device with a certificate of one enrols itself, into the batch that it stands for.
CREATE TABLE manufacturer_authorities (
    fingerprint bytea PRIMARY KEY CHECK (length(fingerprint) = 32),
    subject text NOT NULL,
    der bytea NOT NULL,
    batch text NOT NULL REFERENCES batches (name),
    created_at timestamptz NOT NULL,
    removed_at timestamptz
);

-- A manufacturer's certificate enrols one device: by its bytes, and by its issuer and serial number.
CREATE TABLE manufacturer_enrolments (
    fingerprint bytea PRIMARY KEY CHECK (length(fingerprint) = 32),
    authority bytea NOT NULL REFERENCES manufacturer_authorities (fingerprint),
    issuer bytea NOT NULL,
    serial text NOT NULL,
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    UNIQUE (authority, issuer, serial)
);
