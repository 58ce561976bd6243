//! The no_std device library: an MQTT client and the device contract.
#![no_std]
extern crate alloc;
