//! The migrations of each database, embedded in the binary.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::StoreError;

/// Name and text of each migration; its version is its place, from 1. One that was released never changes.
type Migrations = [(&'static str, &'static str)];

const POSTGRES: &Migrations = &[("initial", include_str!("../migrations/postgres/0001_initial.sql"))];
const SQLITE: &Migrations = &[("initial", include_str!("../migrations/sqlite/0001_initial.sql"))];

/// What brings a Postgres database up to this version.
pub(crate) fn postgres_migrator() -> Migrator {
    migrator(POSTGRES)
}

/// What brings an SQLite database up to this version.
pub(crate) fn sqlite_migrator() -> Migrator {
    migrator(SQLITE)
}

fn migrator(migrations: &Migrations) -> Migrator {
    let numbered = (1..).zip(migrations).map(|(version, &(name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(numbered.collect())
}

/// Says what a failed migration means.
pub(crate) fn migration_error(error: MigrateError) -> StoreError {
    let known = i64::try_from(POSTGRES.len()).unwrap_or(i64::MAX);
    match error {
        MigrateError::VersionMissing(found) => StoreError::SchemaTooNew { found, known },
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Internal { reason: other.to_string() },
    }
}

// Both databases go through the same versions, so that one number names a schema.
const _: () = assert!(POSTGRES.len() == SQLITE.len());
