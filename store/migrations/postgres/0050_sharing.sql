-- What people do with devices: organisations, grants to them, invites, who looked, rooms, transfers; and what operators do: tags and groups.

CREATE TABLE organisations (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE organisation_members (
    organisation_id uuid NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('admin', 'technician')),
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX organisation_members_of_user ON organisation_members (user_id);

-- A grant is to a user or to an organisation.
ALTER TABLE grants ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE grants ADD COLUMN organisation_id uuid REFERENCES organisations (id) ON DELETE CASCADE;
ALTER TABLE grants ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE grants ADD CHECK ((user_id IS NULL) <> (organisation_id IS NULL));
CREATE INDEX grants_of_organisation ON grants (organisation_id) WHERE ended_at IS NULL;

-- An invite is to a part in a device, to the device itself (a transfer), or to an organisation.
CREATE TABLE invites (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    device_id uuid REFERENCES devices (id) ON DELETE CASCADE,
    organisation_id uuid REFERENCES organisations (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('guest', 'member', 'technician', 'owner', 'colleague', 'admin')),
    for_organisation boolean NOT NULL,
    scopes text NOT NULL,
    until_at timestamptz,
    reason text NOT NULL,
    email text,
    email_folded text,
    created_by uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid,
    cancelled_at timestamptz,
    CHECK ((device_id IS NULL) <> (organisation_id IS NULL))
);
CREATE INDEX invites_of_device ON invites (device_id, id);
CREATE INDEX invites_of_organisation ON invites (organisation_id, id);
CREATE INDEX invites_of_email ON invites (email_folded) WHERE email_folded IS NOT NULL;

-- What technicians looked at, and what they did: one row a minute, person, grant and thing. Without foreign keys to people: what somebody saw
-- stays in the owner's sight when the account is gone.
CREATE TABLE accesses (
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    minute_at timestamptz NOT NULL,
    user_id uuid NOT NULL,
    grant_id uuid NOT NULL,
    what text NOT NULL,
    PRIMARY KEY (device_id, minute_at, user_id, grant_id, what)
);

CREATE TABLE rooms (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1
);
CREATE INDEX rooms_of_owner ON rooms (owner_id, id);

-- `version` counts what people and operators change. Nothing before `history_from` is for the present owner's eyes.
ALTER TABLE devices ADD COLUMN room_id uuid REFERENCES rooms (id) ON DELETE SET NULL;
ALTER TABLE devices ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE devices ADD COLUMN history_from timestamptz;
ALTER TABLE devices ADD COLUMN password_hash bytea CHECK (length(password_hash) = 32);

ALTER TABLE claim_codes ADD COLUMN used_at timestamptz;

CREATE TABLE transfers (
    id uuid PRIMARY KEY,
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    from_user_id uuid NOT NULL,
    to_user_id uuid NOT NULL,
    at timestamptz NOT NULL,
    receipt text NOT NULL
);
CREATE INDEX transfers_from ON transfers (from_user_id, id);
CREATE INDEX transfers_to ON transfers (to_user_id, id);

CREATE TABLE device_tags (
    device_id uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    tag text NOT NULL,
    PRIMARY KEY (device_id, tag)
);
CREATE INDEX device_tags_by_tag ON device_tags (tag, device_id);

CREATE TABLE device_groups (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    query text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Requests with an Idempotency-Key and their answers. The answer is encrypted with a key that follows from the client's own, which is not here:
-- it may hold a secret that is shown once.
CREATE TABLE idempotent_requests (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    created_at timestamptz NOT NULL,
    status bigint,
    answer bytea
);
CREATE INDEX idempotent_requests_by_age ON idempotent_requests (created_at);
