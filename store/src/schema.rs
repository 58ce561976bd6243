//! The migrations of each database, embedded in the binary.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::StoreError;

/// Number, name and text of each migration, by number. One that was released never changes. Numbers need not be without gaps: a database gets
/// those that it has not seen, so that each subject has a range of its own (10 identity, 20 rights, 30 accounts, 40 OAuth, 50 sharing, 60 roles).
type Migrations = [(i64, &'static str, &'static str)];

/// A migration that both databases have under one name.
macro_rules! migrations {
    ($database:literal: $($number:literal $name:literal),* $(,)?) => {
        &[$(($number, $name, include_str!(concat!("../migrations/", $database, "/", $name, ".sql")))),*]
    };
}

const POSTGRES: &Migrations = migrations!["postgres":
    1 "0001_initial",
    10 "0010_batches",
    11 "0011_manufacturers",
    12 "0012_late_renewals",
    30 "0030_accounts",
    31 "0031_audit_by_actor",
    40 "0040_oauth",
    50 "0050_sharing",
    60 "0060_retention",
    70 "0070_manufacturer_crls",
    80 "0080_dpop",
];
const SQLITE: &Migrations = migrations!["sqlite":
    1 "0001_initial",
    10 "0010_batches",
    11 "0011_manufacturers",
    12 "0012_late_renewals",
    30 "0030_accounts",
    31 "0031_audit_by_actor",
    40 "0040_oauth",
    50 "0050_sharing",
    60 "0060_retention",
    70 "0070_manufacturer_crls",
    80 "0080_dpop",
];

/// What brings a Postgres database up to this version.
pub(crate) fn postgres_migrator() -> Migrator {
    migrator(POSTGRES)
}

/// What brings an SQLite database up to this version.
pub(crate) fn sqlite_migrator() -> Migrator {
    migrator(SQLITE)
}

fn migrator(migrations: &Migrations) -> Migrator {
    let numbered = migrations.iter().map(|&(number, name, sql)| {
        // The number is apart from the name, as the database has them.
        let name = name.split_once('_').map_or(name, |(_, name)| name);
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(numbered.collect())
}

/// The migrations that a Postgres database of this version has seen: their numbers and checksums.
pub(crate) fn versions() -> Vec<(i64, Vec<u8>)> {
    postgres_migrator().iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect()
}

/// Whether the role has not the right (insufficient_privilege).
fn is_denied(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "42501")
}

/// Says what a failed migration means.
pub(crate) fn migration_error(error: MigrateError) -> StoreError {
    let known = POSTGRES.last().map_or(0, |(number, _, _)| *number);
    match error {
        MigrateError::VersionMissing(found) => StoreError::SchemaTooNew { found, known },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) if is_denied(&error) => {
            let what = "the schema is not that of this version, and this role may not change it: run `mooring db migrate`, then \
                 `mooring db roles`, as its owner";
            StoreError::Invalid { what: what.to_owned() }
        }
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Internal { reason: other.to_string() },
    }
}

// Both databases go through the same versions, so that one set of numbers names a schema.
const _: () = {
    assert!(POSTGRES.len() == SQLITE.len());
    let mut at = 0;
    while at < POSTGRES.len() {
        assert!(POSTGRES[at].0 == SQLITE[at].0 && (at == 0 || POSTGRES[at - 1].0 < POSTGRES[at].0));
        at += 1;
    }
};
