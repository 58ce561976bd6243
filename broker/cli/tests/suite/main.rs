//! The whole of Mooring, from outside: the `mooring` binary as a process, other people's programs, real sockets, a real Postgres.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by unwrapping it, its helpers too, and prints what it measured"
)]

mod acl;
mod api;
mod api_doc;
mod app_client;
mod apps;
mod architecture;
mod attack_accounts;
mod attack_api;
mod attack_authorization;
mod attack_certificates;
mod attack_dpop;
mod attack_oauth;
mod browser;
mod by_hand;
mod certificate_status;
mod certificates_page;
mod crash;
mod database_roles;
mod demo;
mod enrolment;
mod est;
mod events;
mod factory;
mod idle_sockets;
mod lab;
mod load;
mod manufacturer;
mod mqtt;
mod oauth;
mod operators;
mod outage;
mod passwords;
mod peers;
mod people;
#[path = "../../../../store/tests/common/postgres.rs"]
mod postgres;
mod proxied;
mod public_name;
mod renewal;
mod revocation;
mod running;
mod scale;
#[expect(dead_code, reason = "the crash harness and the interoperability tests use the rest")]
#[path = "../support/server.rs"]
mod server;
mod sharing;
mod stream;
mod tutorial;
mod web;
