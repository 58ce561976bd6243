//! One way to bind values and to read columns for both databases, so that most SQL is written once.
//!
//! Placeholders are `$1`, `$2`, ... in both. Every integer is bound as 64 bits; Postgres narrows it where the column is narrower.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, SqlSafeStr, Sqlite, Type};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Result, StoreError};

/// A value to bind, with its type even when it is null, since Postgres wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Param<'a> {
    Bool(bool),
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
    Uuid(Option<Uuid>),
    Time(Option<OffsetDateTime>),
}

macro_rules! param_from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl<'a> From<$type> for Param<'a> {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value))
            }
        }
        impl<'a> From<Option<$type>> for Param<'a> {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

param_from!(i64 => Int, &'a str => Text, &'a [u8] => Bytes, Uuid => Uuid, OffsetDateTime => Time);

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a Option<String>> for Param<'a> {
    fn from(value: &'a Option<String>) -> Self {
        Self::Text(value.as_deref())
    }
}

impl<'a> From<&'a [u8; 32]> for Param<'a> {
    fn from(value: &'a [u8; 32]) -> Self {
        Self::Bytes(Some(value))
    }
}

/// The values to bind, each turned into a [`Param`].
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::sql::Param::from($value)),*] };
}
pub(crate) use params;

/// The statement for Postgres, with its values.
pub(crate) fn bind_postgres<'q>(sql: impl SqlSafeStr, params: &[Param<'q>]) -> Query<'q, Postgres, PgArguments> {
    params.iter().fold(sqlx::query(sql), |query, param| match *param {
        Param::Bool(value) => query.bind(value),
        Param::Int(value) => query.bind(value),
        Param::Text(value) => query.bind(value),
        Param::Bytes(value) => query.bind(value),
        Param::Uuid(value) => query.bind(value),
        Param::Time(value) => query.bind(value.map(truncate_to_micros)),
    })
}

/// The statement for SQLite, with its values.
pub(crate) fn bind_sqlite<'q>(sql: impl SqlSafeStr, params: &[Param<'q>]) -> Query<'q, Sqlite, SqliteArguments> {
    params.iter().fold(sqlx::query(sql), |query, param| match *param {
        Param::Bool(value) => query.bind(value),
        Param::Int(value) => query.bind(value),
        Param::Text(value) => query.bind(value),
        Param::Bytes(value) => query.bind(value),
        Param::Uuid(value) => query.bind(value),
        Param::Time(value) => query.bind(value.map(micros)),
    })
}

/// Conditions of a WHERE, joined by AND, with the values of their placeholders.
pub(crate) struct Conditions<'a> {
    pub(crate) sql: String,
    pub(crate) params: Vec<Param<'a>>,
}

impl<'a> Conditions<'a> {
    pub(crate) fn new(condition: &str, value: impl Into<Param<'a>>) -> Self {
        Self { sql: format!("{condition} $1"), params: vec![value.into()] }
    }

    pub(crate) fn and(&mut self, condition: &str, value: impl Into<Param<'a>>) {
        self.params.push(value.into());
        self.sql.push_str(&format!(" AND {condition} ${}", self.params.len()));
    }

    pub(crate) fn and_row(&mut self, condition: &str, values: &[Param<'a>]) {
        let row = placeholders(self.params.len() + 1, values.len());
        self.params.extend_from_slice(values);
        self.sql.push_str(&format!(" AND {condition} ({row})"));
    }

    /// A condition in which each `{}` stands for the value.
    pub(crate) fn and_with(&mut self, condition: &str, value: impl Into<Param<'a>>) {
        self.params.push(value.into());
        let placeholder = format!("${}", self.params.len());
        self.sql.push_str(&format!(" AND {}", condition.replace("{}", &placeholder)));
    }

    /// A condition without a value.
    pub(crate) fn and_that(&mut self, condition: &str) {
        self.sql.push_str(&format!(" AND {condition}"));
    }

    /// The column has one of the values; with no values, no row is meant.
    pub(crate) fn and_one_of(&mut self, column: &str, values: &[Param<'a>]) {
        if values.is_empty() {
            return self.and_that("1 = 0");
        }
        let list = placeholders(self.params.len() + 1, values.len());
        self.params.extend_from_slice(values);
        self.sql.push_str(&format!(" AND {column} IN ({list})"));
    }
}

/// A row of either database.
#[derive(Debug)]
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    /// The value of a column.
    pub(crate) fn get<T>(&self, column: &'static str) -> Result<T>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
        &'static str: ColumnIndex<PgRow> + ColumnIndex<SqliteRow>,
    {
        Ok(match self {
            Self::Postgres(row) => row.try_get(column)?,
            Self::Sqlite(row) => row.try_get(column)?,
        })
    }

    /// The value of a column that holds a count or a position.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64> {
        u64::try_from(self.get::<i64>(column)?).map_err(|_| corrupt(column))
    }

    /// The value of a column that is a smallint in Postgres.
    pub(crate) fn small_int(&self, column: &'static str) -> Result<i64> {
        Ok(match self {
            Self::Postgres(row) => row.try_get::<i16, _>(column)?.into(),
            Self::Sqlite(row) => row.try_get(column)?,
        })
    }

    /// The value of a column that holds a time.
    pub(crate) fn time(&self, column: &'static str) -> Result<OffsetDateTime> {
        self.time_opt(column)?.ok_or_else(|| corrupt(column))
    }

    /// The value of a column that holds a time or nothing.
    pub(crate) fn time_opt(&self, column: &'static str) -> Result<Option<OffsetDateTime>> {
        match self {
            Self::Postgres(row) => Ok(row.try_get(column)?),
            Self::Sqlite(row) => {
                let micros: Option<i64> = row.try_get(column)?;
                micros.map(|micros| from_micros(micros).ok_or_else(|| corrupt(column))).transpose()
            }
        }
    }

    /// The value of a column that holds a SHA-256.
    pub(crate) fn hash(&self, column: &'static str) -> Result<[u8; 32]> {
        self.get::<Vec<u8>>(column)?.try_into().map_err(|_| corrupt(column))
    }
}

/// The error for a column whose value Mooring cannot have written.
pub(crate) fn corrupt(column: &str) -> StoreError {
    StoreError::Internal { reason: format!("column {column} holds a value that Mooring does not write") }
}

/// Microseconds since 1970, as SQLite has them. Rounds down, so that the order of times is kept.
pub(crate) fn micros(time: OffsetDateTime) -> i64 {
    // The years that `OffsetDateTime` knows, -9999 to 9999, are within the range.
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

/// The time of these microseconds since 1970.
pub(crate) fn from_micros(micros: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
}

/// The time as it is when read back.
pub(crate) fn truncate_to_micros(time: OffsetDateTime) -> OffsetDateTime {
    from_micros(micros(time)).unwrap_or(time)
}

/// A position of the log, which the databases have as a signed number.
pub(crate) fn position_param(position: u64) -> Result<i64> {
    i64::try_from(position).map_err(|_| StoreError::Invalid { what: format!("position {position} is over 2^63 - 1") })
}

/// The most rows in one statement: keeps the bound values under the limits of both databases (32,766 of SQLite).
pub(crate) const ROWS_PER_STATEMENT_MAX: usize = 1000;

/// `$3, $4, $5`: placeholders from a number on.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// Scopes as one column holds them: separated by spaces, as in OAuth (RFC 6749, 3.3).
pub(crate) fn join_scopes(scopes: &[String]) -> Result<String> {
    match scopes.iter().find(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
        Some(scope) => Err(StoreError::Invalid { what: format!("scope {scope:?} is empty or has white space") }),
        None => Ok(scopes.join(" ")),
    }
}

/// The scopes of such a column.
pub(crate) fn split_scopes(scopes: &str) -> Vec<String> {
    scopes.split_ascii_whitespace().map(str::to_owned).collect()
}
