//! MQTT 3.1, 3.1.1 and 5.0 packets and topics, without I/O.
#![no_std]
extern crate alloc;
