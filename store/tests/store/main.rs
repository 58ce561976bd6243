//! The store against its contract, on both databases.

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod certificates;
mod claims;
mod commands;
mod connect;
mod devices;
mod enrolment;
mod events;
mod ingest;
mod ingest_effects;
mod shadows;
mod users;
