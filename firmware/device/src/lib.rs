//! What a device needs to speak with Mooring, without an operating system: `no_std` + `alloc`, no I/O, no clock.
//!
//! - [`Client`] is an MQTT 5.0 client. Bytes from the socket go in, bytes for the socket come out; time is an argument. Messages at QoS 1 are kept
//!   until the server has acknowledged them and are sent again after a reconnect, so that what the device has said is heard.
//! - [`DeviceTopics`] are the topics of one device, as the contract between devices and cloud has them.
//! - [`Command`] is a request from the cloud with the place where its answer belongs.
#![no_std]
extern crate alloc;

mod client;
mod command;
mod inbox;
mod topics;

pub use client::{Client, ClientError, ClientEvent, ClientOptions, Incoming};
pub use command::Command;
pub use topics::DeviceTopics;
