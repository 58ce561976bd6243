-- The rows of the audit log of one person: for the export of their data.
CREATE INDEX audit_of_actor ON audit (actor, seq);
