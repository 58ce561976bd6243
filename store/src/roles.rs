//! Roles of Postgres with as few rights as each needs. The owner of the schema migrates it; a server needs no more than `serve`.

use sqlx::AssertSqlSafe;

use crate::{Result, Store, StoreError};

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseRole {
    /// Stores events and what follows from them.
    Ingest,
    /// Runs a server: all that ingest may, and reading and changing everything else. Neither tables, nor rows of the audit log, nor events can be
    /// changed or taken away by it.
    Serve,
    /// Reads devices, batches, certificates, grants, events and the audit log; no secret, token or account.
    Read,
}

impl DatabaseRole {
    /// Every role, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Serve, Self::Read];

    /// The end of its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Serve => "serve",
            Self::Read => "read",
        }
    }

    /// What it is granted; `{role}` and `{ingest}` stand for names.
    const fn grants(self) -> &'static [&'static str] {
        match self {
            Self::Ingest => &[
                "GRANT SELECT, INSERT, UPDATE ON cursors, dead_letters TO {role}",
                "GRANT SELECT, INSERT ON events TO {role}",
                "GRANT SELECT ON event_kinds, devices TO {role}",
                "GRANT UPDATE (online, presence_at, presence_reason, last_telemetry_at) ON devices TO {role}",
                "GRANT SELECT, UPDATE ON shadows, commands TO {role}",
                "GRANT EXECUTE ON FUNCTION ensure_events_partition(date), drop_events_before(date) TO {role}",
            ],
            Self::Serve => &[
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
                "REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM {role}",
                "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON events, dead_letters, cursors, event_kinds FROM {role}",
                "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON _sqlx_migrations FROM {role}",
                "GRANT {ingest} TO {role}",
            ],
            Self::Read => {
                &["GRANT SELECT ON devices, batches, batch_findings, factory_stations, factory_logs, factory_devices, \
                 manufacturer_authorities, manufacturer_enrolments, manufacturer_crls, certificates, grants, shadows, commands, events, event_kinds, \
                 dead_letters, cursors, audit TO {role}"]
            }
        }
    }
}

impl Store {
    /// Makes the roles that are missing, as `<prefix>_ingest`, `<prefix>_serve` and `<prefix>_read`, and grants each what it needs of the schema as
    /// it is now: to be called again after a migration. They can log in and have no password: give them one, or let them in otherwise. Gives their
    /// names.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] on SQLite, which has no roles, and for a prefix that is no plain name.
    pub async fn make_roles(&self, prefix: &str) -> Result<Vec<String>> {
        if !self.is_postgres() {
            return Err(StoreError::Invalid { what: "SQLite has no roles: they are for Postgres".to_owned() });
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=32).contains(&prefix.len())
            || !prefix.bytes().all(is_plain)
            || !prefix.starts_with(char::is_alphabetic)
        {
            let what = format!("a role is called by a-z, 0-9 and _, with a letter first: {prefix:?} is not so");
            return Err(StoreError::Invalid { what });
        }
        let name = |role: DatabaseRole| format!("{prefix}_{}", role.name());
        let mut tx = self.begin().await?;
        for role in DatabaseRole::ALL {
            let name = name(role);
            let make = format!(
                "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{name}') THEN \
                 CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE; END IF; END $$"
            );
            tx.execute(AssertSqlSafe(make), &[]).await?;
            tx.execute(AssertSqlSafe(format!("GRANT USAGE ON SCHEMA public TO {name}")), &[]).await?;
        }
        for role in DatabaseRole::ALL {
            for grant in role.grants() {
                let grant = grant.replace("{role}", &name(role)).replace("{ingest}", &name(DatabaseRole::Ingest));
                tx.execute(AssertSqlSafe(grant), &[]).await?;
            }
        }
        tx.commit().await?;
        Ok(DatabaseRole::ALL.map(name).to_vec())
    }
}
