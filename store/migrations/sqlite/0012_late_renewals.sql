-- Devices that ask for a new certificate after the end of theirs, where somebody has to say yes.
CREATE TABLE late_renewals (
    device_id BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    serial TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    confirmed_by TEXT,
    CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL))
) STRICT;
