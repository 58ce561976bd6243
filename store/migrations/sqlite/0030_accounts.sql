-- Accounts of people: how a user signs in. As in Postgres.

CREATE TABLE accounts (
    user_id BLOB PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    display_name TEXT NOT NULL,
    language TEXT NOT NULL,
    password TEXT,
    password_at INTEGER,
    verified_at INTEGER,
    totp BLOB,
    totp_at INTEGER,
    totp_step INTEGER NOT NULL DEFAULT 0,
    totp_offered BLOB,
    deleting_at INTEGER
) STRICT;

CREATE TABLE recovery_codes (
    user_id BLOB NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    used_at INTEGER,
    PRIMARY KEY (user_id, hash)
) STRICT;

CREATE TABLE passkeys (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    public_key BLOB NOT NULL,
    sign_count INTEGER NOT NULL,
    backed_up INTEGER NOT NULL CHECK (backed_up IN (0, 1)),
    created_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX passkeys_of_user ON passkeys (user_id);

-- Sessions of browsers. `auth_at` is when the person last proved who they are.
CREATE TABLE web_sessions (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    amr TEXT NOT NULL,
    auth_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT;
CREATE INDEX web_sessions_of_user ON web_sessions (user_id);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);

-- What was begun and can be finished once: a sign-up, a reset, a change of address, a second factor, a passkey's challenge.
CREATE TABLE one_time (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    link_hash BLOB UNIQUE CHECK (length(link_hash) = 32),
    purpose TEXT NOT NULL CHECK (purpose IN ('sign-up', 'reset', 'email', 'second-factor', 'passkey')),
    user_id BLOB REFERENCES users (id) ON DELETE CASCADE,
    code_hash BLOB CHECK (length(code_hash) = 32),
    tries INTEGER NOT NULL DEFAULT 0,
    data TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX one_time_of_user ON one_time (user_id, purpose);
CREATE INDEX one_time_by_end ON one_time (expires_at);
