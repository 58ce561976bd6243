//! Everything in the SQL database, for Postgres and SQLite.
