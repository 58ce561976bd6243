//! The rules of MQTT and of this broker, one test for each, on engines that are stepped in virtual time.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects by unwrapping it")]

mod bench;
mod text;

mod acl;
mod asking;
mod authentication;
mod batches;
mod chaos;
mod connecting;
mod durability;
mod limits;
mod pipelined;
mod presence;
mod publishing;
mod random;
mod retained;
mod sessions;
mod shards;
mod shared;
mod subscribing;
mod wills;
