-- What manufacturers took back: the newest list of each issuer.
CREATE TABLE manufacturer_crls (
    issuer BLOB PRIMARY KEY,
    issuer_name TEXT NOT NULL,
    der BLOB NOT NULL,
    this_update INTEGER NOT NULL,
    loaded_at INTEGER NOT NULL
) STRICT;
