//! The store against its contract, on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod audit;
mod batches;
mod certificates;
mod claims;
mod commands;
mod connect;
mod devices;
mod enrolment;
mod events;
mod factory;
mod ingest;
mod ingest_effects;
mod oauth;
mod outage;
mod registry;
mod roles;
mod shadows;
mod sharing;
mod trust;
mod users;
