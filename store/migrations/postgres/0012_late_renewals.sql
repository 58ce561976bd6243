-- Devices that ask for a new certificate after the end of theirs, where somebody has to say yes.
CREATE TABLE late_renewals (
    device_id uuid PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    serial text NOT NULL,
    asked_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    confirmed_by text,
    CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL))
);
