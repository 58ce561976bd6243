-- DPoP (RFC 9449): which key tokens are bound to, by its thumbprint (RFC 7638).
ALTER TABLE oauth_clients ADD COLUMN requires_dpop BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE oauth_codes ADD COLUMN dpop_jkt BYTEA CHECK (length(dpop_jkt) = 32);
ALTER TABLE oauth_families ADD COLUMN dpop_jkt BYTEA CHECK (length(dpop_jkt) = 32);
