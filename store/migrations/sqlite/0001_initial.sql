-- The first schema, as in Postgres. Times are microseconds since 1970 (UTC), UUIDs are 16 bytes, hashes are SHA-256, JSON is TEXT.

CREATE TABLE users (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    email TEXT,
    email_folded TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE tokens (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX tokens_of_user ON tokens (user_id);

CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    model TEXT NOT NULL,
    batch TEXT,
    name TEXT NOT NULL DEFAULT '',
    owner_id BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at INTEGER NOT NULL,
    enrolled_at INTEGER,
    claimed_at INTEGER,
    retired_at INTEGER,
    online INTEGER NOT NULL DEFAULT 0 CHECK (online IN (0, 1)),
    presence_at INTEGER,
    presence_reason TEXT,
    last_telemetry_at INTEGER
) STRICT;
CREATE INDEX devices_of_owner ON devices (owner_id, id) WHERE owner_id IS NOT NULL;

CREATE TABLE enrolment_secrets (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX enrolment_secrets_of_device ON enrolment_secrets (device_id);

-- A claim code is short, so two devices may have the same one: it is only good together with the device's id.
CREATE TABLE claim_codes (
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, hash)
) STRICT;

-- The holder is the id of a device or a client, or the name of a server.
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    holder_kind TEXT NOT NULL CHECK (holder_kind IN ('device', 'client', 'server')),
    holder TEXT NOT NULL,
    issuer TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    der BLOB NOT NULL,
    issued_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revocation_reason INTEGER,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
) STRICT;
CREATE INDEX certificates_of_holder ON certificates (holder_kind, holder, issued_at);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked_at IS NOT NULL;

CREATE TABLE grants (
    id BLOB PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('guest', 'member', 'technician')),
    scopes TEXT NOT NULL,
    until_at INTEGER,
    created_by BLOB NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX grants_of_user ON grants (user_id) WHERE ended_at IS NULL;
CREATE INDEX grants_of_device ON grants (device_id);

CREATE TABLE shadows (
    device_id BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    reported TEXT NOT NULL DEFAULT '{}',
    reported_version INTEGER NOT NULL DEFAULT 0,
    reported_at INTEGER,
    desired TEXT NOT NULL DEFAULT '{}',
    desired_version INTEGER NOT NULL DEFAULT 0,
    desired_at INTEGER
) STRICT;

CREATE TABLE commands (
    request_id BLOB PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    content_type TEXT,
    payload BLOB NOT NULL,
    answered_at INTEGER,
    result_content_type TEXT,
    result BLOB,
    CHECK ((answered_at IS NULL) = (result IS NULL))
) STRICT;
CREATE INDEX commands_of_device ON commands (device_id, requested_at, request_id);

-- Up to where each node's spool is stored. It moves in the transaction that stores the events.
CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    position INTEGER NOT NULL CHECK (position >= 0)
) STRICT;

CREATE TABLE event_kinds (
    kind INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO event_kinds (kind, name) VALUES
    (1, 'telemetry'), (2, 'event'), (3, 'log'), (4, 'state'), (5, 'presence'), (6, 'command'), (7, 'command-result'), (8, 'update-status');

-- No unique index and no foreign key, as in Postgres: the cursor already keeps each (source, position) single. The checks for U+0000 refuse
-- what Postgres refuses.
CREATE TABLE events (
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    device_id BLOB NOT NULL,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 8),
    name TEXT CHECK (instr(name, char(0)) = 0),
    request_id BLOB,
    at INTEGER NOT NULL,
    qos INTEGER NOT NULL CHECK (qos BETWEEN 0 AND 2),
    client TEXT NOT NULL CHECK (instr(client, char(0)) = 0),
    content_type TEXT CHECK (instr(content_type, char(0)) = 0),
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX events_of_device ON events (device_id, at);

-- Events that could not be stored or applied. The envelope is JSON in bytes.
CREATE TABLE dead_letters (
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    device_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    payload BLOB NOT NULL,
    error TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (source, position)
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
