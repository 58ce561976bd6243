-- What people do with devices: organisations, grants to them, invites, who looked, rooms, transfers; and what operators do: tags and groups.

CREATE TABLE organisations (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE organisation_members (
    organisation_id BLOB NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'technician')),
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
) STRICT;
CREATE INDEX organisation_members_of_user ON organisation_members (user_id);

-- A grant is to a user or to an organisation. SQLite changes no column in place, so the table is made again.
CREATE TABLE new_grants (
    id BLOB PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    organisation_id BLOB REFERENCES organisations (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('guest', 'member', 'technician')),
    scopes TEXT NOT NULL,
    until_at INTEGER,
    created_by BLOB NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    version INTEGER NOT NULL DEFAULT 1,
    CHECK ((user_id IS NULL) <> (organisation_id IS NULL))
) STRICT;
INSERT INTO new_grants (id, device_id, user_id, role, scopes, until_at, created_by, reason, created_at, ended_at)
    SELECT id, device_id, user_id, role, scopes, until_at, created_by, reason, created_at, ended_at FROM grants;
DROP TABLE grants;
ALTER TABLE new_grants RENAME TO grants;
CREATE INDEX grants_of_user ON grants (user_id) WHERE ended_at IS NULL;
CREATE INDEX grants_of_organisation ON grants (organisation_id) WHERE ended_at IS NULL;
CREATE INDEX grants_of_device ON grants (device_id);

-- An invite is to a part in a device, to the device itself (a transfer), or to an organisation.
CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    device_id BLOB REFERENCES devices (id) ON DELETE CASCADE,
    organisation_id BLOB REFERENCES organisations (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('guest', 'member', 'technician', 'owner', 'colleague', 'admin')),
    for_organisation INTEGER NOT NULL CHECK (for_organisation IN (0, 1)),
    scopes TEXT NOT NULL,
    until_at INTEGER,
    reason TEXT NOT NULL,
    email TEXT,
    email_folded TEXT,
    created_by BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER,
    accepted_by BLOB,
    cancelled_at INTEGER,
    CHECK ((device_id IS NULL) <> (organisation_id IS NULL))
) STRICT;
CREATE INDEX invites_of_device ON invites (device_id, id);
CREATE INDEX invites_of_organisation ON invites (organisation_id, id);
CREATE INDEX invites_of_email ON invites (email_folded) WHERE email_folded IS NOT NULL;

-- What technicians looked at, and what they did: one row a minute, person, grant and thing. Without foreign keys to people: what somebody saw
-- stays in the owner's sight when the account is gone.
CREATE TABLE accesses (
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    minute_at INTEGER NOT NULL,
    user_id BLOB NOT NULL,
    grant_id BLOB NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (device_id, minute_at, user_id, grant_id, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE rooms (
    id BLOB PRIMARY KEY,
    owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX rooms_of_owner ON rooms (owner_id, id);

-- `version` counts what people and operators change. Nothing before `history_from` is for the present owner's eyes.
ALTER TABLE devices ADD COLUMN room_id BLOB REFERENCES rooms (id) ON DELETE SET NULL;
ALTER TABLE devices ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE devices ADD COLUMN history_from INTEGER;
ALTER TABLE devices ADD COLUMN password_hash BLOB CHECK (length(password_hash) = 32);

ALTER TABLE claim_codes ADD COLUMN used_at INTEGER;

CREATE TABLE transfers (
    id BLOB PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    from_user_id BLOB NOT NULL,
    to_user_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    receipt TEXT NOT NULL
) STRICT;
CREATE INDEX transfers_from ON transfers (from_user_id, id);
CREATE INDEX transfers_to ON transfers (to_user_id, id);

CREATE TABLE device_tags (
    device_id BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (device_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_tags_by_tag ON device_tags (tag, device_id);

CREATE TABLE device_groups (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Requests with an Idempotency-Key and their answers. The answer is encrypted with a key that follows from the client's own, which is not here:
-- it may hold a secret that is shown once.
CREATE TABLE idempotent_requests (
    key_hash BLOB PRIMARY KEY CHECK (length(key_hash) = 32),
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    created_at INTEGER NOT NULL,
    status INTEGER,
    answer BLOB
) STRICT;
CREATE INDEX idempotent_requests_by_age ON idempotent_requests (created_at);
