//! Commands: what devices were told to do, by whom, and what they answered.

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, from_micros, micros, params};
use crate::{Cursor, Page, PageRequest, Result, Store};

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
        let NewCommand { request, device, name, by, at, content_type, payload } = command;
        let sql = "INSERT INTO commands \
             (request_id, device_id, name, requested_by, requested_at, content_type, payload) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let params = params![*request, *device, name, by, *at, content_type, payload.as_ref()];
        self.execute(sql, &params).await.map(drop)
    }

    /// Records the answer of `device`. False when there is no such command for this device, or it has an answer: the first one counts.
    pub async fn record_command_result(&self, request: Uuid, device: Uuid, result: &CommandResult) -> Result<bool> {
        let sql = "UPDATE commands SET answered_at = $3, result_content_type = $4, result = $5 \
             WHERE request_id = $1 AND device_id = $2 AND answered_at IS NULL";
        let CommandResult { at, content_type, payload } = result;
        let params = params![request, device, *at, content_type, payload.as_slice()];
        Ok(self.execute(sql, &params).await? == 1)
    }

    /// The command of this request.
    pub async fn command(&self, request: Uuid) -> Result<Option<Command>> {
        let row = self.row("SELECT * FROM commands WHERE request_id = $1", &params![request]).await?;
        row.as_ref().map(command).transpose()
    }

    /// The commands of a device, the newest first.
    pub async fn commands_of_device(&self, device: Uuid, page: &PageRequest) -> Result<Page<Command>> {
        let rows = match &page.after {
            None => {
                let sql = "SELECT * FROM commands WHERE device_id = $1 \
                     ORDER BY requested_at DESC, request_id DESC LIMIT $2";
                self.rows(sql, &params![device, page.rows()]).await?
            }
            Some(cursor) => {
                let (at, request) = parse_cursor(cursor)?;
                let sql = "SELECT * FROM commands WHERE device_id = $1 AND (requested_at, request_id) < ($3, $4) \
                     ORDER BY requested_at DESC, request_id DESC LIMIT $2";
                self.rows(sql, &params![device, page.rows(), at, request]).await?
            }
        };
        page.page(&rows, command, |command| format!("{}.{}", micros(command.at), command.request))
    }
}

fn parse_cursor(cursor: &Cursor) -> Result<(OffsetDateTime, Uuid)> {
    let parts = cursor
        .as_str()
        .split_once('.')
        .and_then(|(at, request)| Some((from_micros(at.parse().ok()?)?, request.parse().ok()?)));
    parts.ok_or_else(Cursor::invalid)
}

fn command(row: &Row) -> Result<Command> {
    let result = match row.time_opt("answered_at")? {
        Some(at) => {
            Some(CommandResult { at, content_type: row.get("result_content_type")?, payload: row.get("result")? })
        }
        None => None,
    };
    Ok(Command {
        request: row.get("request_id")?,
        device: row.get("device_id")?,
        name: row.get("name")?,
        by: row.get("requested_by")?,
        at: row.time("requested_at")?,
        content_type: row.get("content_type")?,
        payload: row.get("payload")?,
        result,
    })
}
