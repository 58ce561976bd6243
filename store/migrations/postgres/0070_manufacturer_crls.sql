-- What manufacturers took back: the newest list of each issuer, by its name in DER.
CREATE TABLE manufacturer_crls (
    issuer bytea PRIMARY KEY,
    issuer_name text NOT NULL,
    der bytea NOT NULL,
    this_update timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL
);
