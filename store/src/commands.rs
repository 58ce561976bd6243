//! Commands: what devices were told to do, by whom, and what they answered.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Page, PageRequest, Result, Store};

/// A command that is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    /// The request, a UUID of version 7: the last level of the answer's topic.
    pub request: Uuid,
    /// To which device.
    pub device: Uuid,
    /// What to do.
    pub name: String,
    /// Who asked, as in the audit log: `user:<id>`, `token:<id>`.
    pub by: String,
    /// When.
    pub at: OffsetDateTime,
    /// The content type of `payload`.
    pub content_type: Option<String>,
    /// The arguments.
    pub payload: Bytes,
}

/// A command on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The request.
    pub request: Uuid,
    /// To which device.
    pub device: Uuid,
    /// What to do.
    pub name: String,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: OffsetDateTime,
    /// The content type of `payload`.
    pub content_type: Option<String>,
    /// The arguments.
    pub payload: Vec<u8>,
    /// The device's answer.
    pub result: Option<CommandResult>,
}

/// A device's answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// When it came.
    pub at: OffsetDateTime,
    /// The content type of `payload`.
    pub content_type: Option<String>,
    /// The answer as sent.
    pub payload: Vec<u8>,
}

impl Store {
    /// Records a command before it is sent.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] without such a device, [`crate::StoreError::Conflict`] when the request exists.
    pub async fn record_command(&self, command: &NewCommand) -> Result<()> {
        todo!()
    }

    /// Records the answer of `device`. False when there is no such command for this device, or it has an answer: the first one counts.
    pub async fn record_command_result(&self, request: Uuid, device: Uuid, result: &CommandResult) -> Result<bool> {
        todo!()
    }

    /// The command of this request.
    pub async fn command(&self, request: Uuid) -> Result<Option<Command>> {
        todo!()
    }

    /// The commands of a device, the newest first.
    pub async fn commands_of_device(&self, device: Uuid, page: &PageRequest) -> Result<Page<Command>> {
        todo!()
    }
}
