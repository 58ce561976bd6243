-- OAuth 2.1 and OpenID Connect. Lists are separated by spaces; codes, tokens and secrets are there as their SHA-256 only.

CREATE TABLE oauth_clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Without a secret it is a public client: anybody can say that it is this one.
    secret_hash BLOB CHECK (length(secret_hash) = 32),
    first_party INTEGER NOT NULL CHECK (first_party IN (0, 1)),
    introspects INTEGER NOT NULL CHECK (introspects IN (0, 1)),
    redirect_uris TEXT NOT NULL,
    sign_out_uris TEXT NOT NULL,
    grant_types TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Pushed authorization requests (RFC 9126), and what each asked for, as JSON.
CREATE TABLE oauth_requests (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    client_id TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    parameters TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_requests_expiry ON oauth_requests (expires_at);

-- A family is what one consent led to: every access and refresh token that follows from it names it, and ends with it.
CREATE TABLE oauth_families (
    id BLOB PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    browser_session BLOB,
    signed_in_at INTEGER,
    amr TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;
CREATE INDEX oauth_families_of_user ON oauth_families (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX oauth_families_of_client ON oauth_families (client_id);
CREATE INDEX oauth_families_ended ON oauth_families (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX oauth_families_expiry ON oauth_families (expires_at);
CREATE INDEX users_disabled ON users (disabled_at) WHERE disabled_at IS NOT NULL;

-- Families that went with their user or client: their access tokens may not have ended yet.
CREATE TABLE oauth_families_gone (
    family_id BLOB PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_families_gone_at ON oauth_families_gone (at);
CREATE TRIGGER oauth_families_leave_their_id AFTER DELETE ON oauth_families
BEGIN
    INSERT INTO oauth_families_gone (family_id, at) VALUES (OLD.id, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    ON CONFLICT DO NOTHING;
END;

CREATE TABLE oauth_codes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    family_id BLOB NOT NULL UNIQUE,
    client_id TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    nonce TEXT,
    code_challenge TEXT NOT NULL,
    browser_session BLOB,
    signed_in_at INTEGER NOT NULL,
    amr TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);
CREATE INDEX oauth_codes_of_user ON oauth_codes (user_id);

CREATE TABLE oauth_refresh_tokens (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    family_id BLOB NOT NULL REFERENCES oauth_families (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX oauth_refresh_tokens_of_family ON oauth_refresh_tokens (family_id);
CREATE INDEX oauth_refresh_tokens_expiry ON oauth_refresh_tokens (expires_at);

-- Device authorization (RFC 8628): the screen has one code, the person types the other.
CREATE TABLE oauth_device_codes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    user_code_hash BLOB NOT NULL UNIQUE CHECK (length(user_code_hash) = 32),
    family_id BLOB NOT NULL UNIQUE,
    client_id TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    polled_at INTEGER,
    interval_s INTEGER NOT NULL,
    decided_at INTEGER,
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    signed_in_at INTEGER,
    amr TEXT NOT NULL DEFAULT '',
    used_at INTEGER
) STRICT;
CREATE INDEX oauth_device_codes_expiry ON oauth_device_codes (expires_at);
CREATE INDEX oauth_device_codes_of_user ON oauth_device_codes (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE oauth_consents (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT;
