//! A request from the cloud.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{DeviceTopics, Incoming};

/// A command, and where its answer belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do: `start`, `pause`, `set-program`.
    pub name: String,
    /// The arguments, usually JSON.
    pub payload: Vec<u8>,
    /// Where the answer goes; without one, nobody waits for it.
    pub response_topic: Option<String>,
    /// What the answer carries along, as it came.
    pub correlation_data: Option<Vec<u8>>,
}

impl Command {
    /// Reads a command from a message; `None` when the message is something else.
    #[must_use]
    pub fn from_message(topics: &DeviceTopics, message: Incoming) -> Option<Self> {
        let name = topics.command_name(&message.topic)?.into();
        Some(Self {
            name,
            payload: message.payload,
            response_topic: message.response_topic,
            correlation_data: message.correlation_data,
        })
    }
}
