-- Accounts of people: how a user signs in. Passwords are PHC strings (or bcrypt of the system before), secrets of TOTP are sealed, tokens and codes hashed.

CREATE TABLE accounts (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    display_name text NOT NULL,
    language text NOT NULL,
    password text,
    password_at timestamptz,
    verified_at timestamptz,
    totp bytea,
    totp_at timestamptz,
    totp_step bigint NOT NULL DEFAULT 0,
    totp_offered bytea,
    deleting_at timestamptz
);

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    used_at timestamptz,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE passkeys (
    id bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    name text NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    backed_up boolean NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX passkeys_of_user ON passkeys (user_id);

-- Sessions of browsers. `auth_at` is when the person last proved who they are.
CREATE TABLE web_sessions (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    amr text NOT NULL,
    auth_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL,
    address text NOT NULL
);
CREATE INDEX web_sessions_of_user ON web_sessions (user_id);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);

-- What was begun and can be finished once: a sign-up, a reset, a change of address, a second factor, a passkey's challenge.
CREATE TABLE one_time (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    link_hash bytea UNIQUE CHECK (length(link_hash) = 32),
    purpose text NOT NULL CHECK (purpose IN ('sign-up', 'reset', 'email', 'second-factor', 'passkey')),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    code_hash bytea CHECK (length(code_hash) = 32),
    tries bigint NOT NULL DEFAULT 0,
    data text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX one_time_of_user ON one_time (user_id, purpose);
CREATE INDEX one_time_by_end ON one_time (expires_at);
