-- OAuth 2.1 and OpenID Connect. Lists are separated by spaces; codes, tokens and secrets are there as their SHA-256 only.

CREATE TABLE oauth_clients (
    id text PRIMARY KEY,
    name text NOT NULL,
    -- Without a secret it is a public client: anybody can say that it is this one.
    secret_hash bytea CHECK (length(secret_hash) = 32),
    first_party boolean NOT NULL,
    introspects boolean NOT NULL,
    redirect_uris text NOT NULL,
    sign_out_uris text NOT NULL,
    grant_types text NOT NULL,
    scopes text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Pushed authorization requests (RFC 9126), and what each asked for, as JSON.
CREATE TABLE oauth_requests (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    client_id text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    parameters text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_requests_expiry ON oauth_requests (expires_at);

-- A family is what one consent led to: every access and refresh token that follows from it names it, and ends with it.
CREATE TABLE oauth_families (
    id uuid PRIMARY KEY,
    client_id text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    scopes text NOT NULL,
    browser_session uuid,
    signed_in_at timestamptz,
    amr text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX oauth_families_of_user ON oauth_families (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX oauth_families_of_client ON oauth_families (client_id);
CREATE INDEX oauth_families_ended ON oauth_families (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX oauth_families_expiry ON oauth_families (expires_at);
CREATE INDEX users_disabled ON users (disabled_at) WHERE disabled_at IS NOT NULL;

-- Families that went with their user or client: their access tokens may not have ended yet.
CREATE TABLE oauth_families_gone (
    family_id uuid PRIMARY KEY,
    at timestamptz NOT NULL
);
CREATE INDEX oauth_families_gone_at ON oauth_families_gone (at);
CREATE FUNCTION oauth_family_leaves_its_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO oauth_families_gone (family_id, at) VALUES (OLD.id, now()) ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
CREATE TRIGGER oauth_families_leave_their_id AFTER DELETE ON oauth_families
    FOR EACH ROW EXECUTE FUNCTION oauth_family_leaves_its_id();

CREATE TABLE oauth_codes (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    family_id uuid NOT NULL UNIQUE,
    client_id text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    redirect_uri text NOT NULL,
    scopes text NOT NULL,
    nonce text,
    code_challenge text NOT NULL,
    browser_session uuid,
    signed_in_at timestamptz NOT NULL,
    amr text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);
CREATE INDEX oauth_codes_of_user ON oauth_codes (user_id);

CREATE TABLE oauth_refresh_tokens (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    family_id uuid NOT NULL REFERENCES oauth_families (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX oauth_refresh_tokens_of_family ON oauth_refresh_tokens (family_id);
CREATE INDEX oauth_refresh_tokens_expiry ON oauth_refresh_tokens (expires_at);

-- Device authorization (RFC 8628): the screen has one code, the person types the other.
CREATE TABLE oauth_device_codes (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    user_code_hash bytea NOT NULL UNIQUE CHECK (length(user_code_hash) = 32),
    family_id uuid NOT NULL UNIQUE,
    client_id text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    scopes text NOT NULL,
    expires_at timestamptz NOT NULL,
    polled_at timestamptz,
    interval_s bigint NOT NULL,
    decided_at timestamptz,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    signed_in_at timestamptz,
    amr text NOT NULL DEFAULT '',
    used_at timestamptz
);
CREATE INDEX oauth_device_codes_expiry ON oauth_device_codes (expires_at);
CREATE INDEX oauth_device_codes_of_user ON oauth_device_codes (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE oauth_consents (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    scopes text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
