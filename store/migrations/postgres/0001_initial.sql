-- The first schema. Times are timestamptz; hashes are SHA-256; JSON is text, since jsonb refuses U+0000 in strings, which a device may send.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    name_folded text NOT NULL UNIQUE,
    email text,
    email_folded text UNIQUE,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    scopes text NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX tokens_of_user ON tokens (user_id);

-- Presence and last telemetry change with each batch of events: room is left on each page, and they are in no index, so that the new row
-- version stays on the page of the old one.
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    model text NOT NULL,
    batch text,
    name text NOT NULL DEFAULT '',
    owner_id uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    enrolled_at timestamptz,
    claimed_at timestamptz,
    retired_at timestamptz,
    online boolean NOT NULL DEFAULT false,
    presence_at timestamptz,
    presence_reason text,
    last_telemetry_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX devices_of_owner ON devices (owner_id, id) WHERE owner_id IS NOT NULL;

CREATE TABLE enrolment_secrets (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX enrolment_secrets_of_device ON enrolment_secrets (device_id);

-- A claim code is short, so two devices may have the same one: it is only good together with the device's id.
CREATE TABLE claim_codes (
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, hash)
);

-- The holder is the id of a device or a client, or the name of a server.
CREATE TABLE certificates (
    serial text PRIMARY KEY,
    holder_kind text NOT NULL CHECK (holder_kind IN ('device', 'client', 'server')),
    holder text NOT NULL,
    issuer text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    der bytea NOT NULL,
    issued_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revocation_reason bigint,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE INDEX certificates_of_holder ON certificates (holder_kind, holder, issued_at);
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked_at IS NOT NULL;

CREATE TABLE grants (
    id uuid PRIMARY KEY,
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('guest', 'member', 'technician')),
    scopes text NOT NULL,
    until_at timestamptz,
    created_by uuid NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX grants_of_user ON grants (user_id) WHERE ended_at IS NULL;
CREATE INDEX grants_of_device ON grants (device_id);

CREATE TABLE shadows (
    device_id uuid PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    reported text NOT NULL DEFAULT '{}',
    reported_version bigint NOT NULL DEFAULT 0,
    reported_at timestamptz,
    desired text NOT NULL DEFAULT '{}',
    desired_version bigint NOT NULL DEFAULT 0,
    desired_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE commands (
    request_id uuid PRIMARY KEY,
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    name text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    content_type text,
    payload bytea NOT NULL,
    answered_at timestamptz,
    result_content_type text,
    result bytea,
    CHECK ((answered_at IS NULL) = (result IS NULL))
);
CREATE INDEX commands_of_device ON commands (device_id, requested_at, request_id);

-- Up to where each node's spool is stored. It moves in the transaction that stores the events.
CREATE TABLE cursors (
    source text PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0)
);

CREATE TABLE event_kinds (
    kind smallint PRIMARY KEY,
    name text NOT NULL UNIQUE
);
INSERT INTO event_kinds (kind, name) VALUES
    (1, 'telemetry'), (2, 'event'), (3, 'log'), (4, 'state'), (5, 'presence'), (6, 'command'), (7, 'command-result'), (8, 'update-status');

-- No unique index and no foreign key: they cost two thirds of the ingest, and the cursor already keeps each (source, position) single.
-- Partitions are the days of UTC.
CREATE TABLE events (
    source text NOT NULL,
    position bigint NOT NULL,
    device_id uuid NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 8),
    name text,
    request_id uuid,
    at timestamptz NOT NULL,
    qos smallint NOT NULL CHECK (qos BETWEEN 0 AND 2),
    client text NOT NULL,
    content_type text,
    payload bytea NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX events_at ON events USING brin (at);
CREATE INDEX events_of_device ON events (device_id, at);

-- Makes the partition of a day (UTC) unless it is there. The table is made apart and then attached, since ATTACH lets others write to the
-- parent meanwhile, which CREATE TABLE ... PARTITION OF does not. It runs with its owner's rights, so that the role that ingests
-- needs none to make tables.
CREATE FUNCTION ensure_events_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    partition_name text := 'events_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('mooring events partitions'));
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL)', partition_name);
    EXECUTE format(
        'ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
    );
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_events_partition(date) FROM PUBLIC;

-- Events that could not be stored or applied. The envelope is JSON in bytes: what was refused may be no text for Postgres.
CREATE TABLE dead_letters (
    source text NOT NULL,
    position bigint NOT NULL,
    device_id uuid NOT NULL,
    kind smallint NOT NULL,
    at timestamptz NOT NULL,
    envelope bytea NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (source, position)
);

CREATE TABLE audit (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
