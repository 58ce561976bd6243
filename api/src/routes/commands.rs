//! Commands: sent over MQTT, answered over MQTT, seen over HTTP.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use mooring_store::{Command, EventKind, NewCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{PageBody, PageQuery};
use crate::access::{DeviceAccess, Wish};
use crate::caller::Caller;
use crate::commands::{Outcome, Outgoing};
use crate::{ApiContext, Problem};

/// What to tell the device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandRequest {
    /// The arguments: any JSON.
    #[serde(default)]
    arguments: Value,
    /// How long to wait for the answer, in milliseconds; the command is void after it.
    #[serde(default = "patience_ms")]
    #[schema(minimum = 100, maximum = 60000, default = 10000)]
    timeout_ms: u64,
}

fn patience_ms() -> u64 {
    10_000
}

/// A command and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandBody {
    /// Names this command.
    request: Uuid,
    /// What to do.
    #[schema(example = "start")]
    name: String,
    /// Who sent it; not in the answer to POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// When; not in the answer to POST.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    at: Option<OffsetDateTime>,
    /// `answered`, or `sent` while there is no answer.
    #[schema(example = "answered")]
    status: &'static str,
    /// The device's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// From sending to the answer, in milliseconds; only in the answer to POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
}

/// Send a command
///
/// Waits for the device's answer. 200 with it; 202 when the device did not answer in time.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/commands/{name}", tag = "commands",
    params(("device_id" = Uuid, Path), ("name" = String, Path, description = "Letters, digits, - and _; at most 64", example = "start", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")),
    request_body(content = CommandRequest, example = json!({"arguments": {"program": "wool"}, "timeout_ms": 5000})),
    responses(
        (status = 200, description = "The device's answer", body = CommandBody),
        (status = 202, description = "Sent; no answer in time", body = CommandBody),
        (status = 409, description = "The device is not connected", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn send(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
    path: Result<Path<(Uuid, String)>, PathRejection>,
    body: Result<Json<CommandRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<CommandBody>), Problem> {
    let (Path((_, name)), Json(body)) = (path?, body?);
    check_name(&name)?;
    let patience = check_patience(body.timeout_ms)?;
    let order = Order { device: access.device.id, name: &name, arguments: body.arguments, patience };
    execute(&context, &caller, order).await
}

/// A command that somebody may send.
pub(super) struct Order<'a> {
    pub(super) device: Uuid,
    pub(super) name: &'a str,
    pub(super) arguments: Value,
    pub(super) patience: Duration,
}

/// Records a command, sends it, and waits.
pub(super) async fn execute(
    context: &ApiContext,
    caller: &Caller,
    order: Order<'_>,
) -> Result<(StatusCode, Json<CommandBody>), Problem> {
    let Order { device, name, arguments, patience } = order;
    if !is_online(context, device).await {
        return Err(Problem::device_not_reachable("Try again when its presence says that it is online."));
    }
    let request = Uuid::now_v7();
    let payload = arguments.to_string().into_bytes();
    let command = NewCommand {
        request,
        device,
        name: name.to_owned(),
        by: caller.actor(),
        at: OffsetDateTime::now_utc(),
        content_type: Some("application/json".to_owned()),
        payload: Bytes::from(payload.clone()),
    };
    context.store.record_command(&command).await?;
    let sent_at = Instant::now();
    let user = if caller.is_operator() { None } else { caller.user().ok() };
    let outgoing = Outgoing { request, device, name, user, payload, patience };
    let outcome = context.sharing.commands.send(&context.node, outgoing).await;
    let answer = match outcome.map_err(|_| Problem::unavailable("The broker is shutting down."))? {
        Outcome::Answered(message) => Some(message),
        Outcome::Silent => None,
        Outcome::Withdrawn => return Err(Problem::forbidden("Your part in the device ended while you waited.")),
    };
    let round_trip_ms = answer.is_some().then(|| sent_at.elapsed().as_secs_f64() * 1000.0);
    let result = answer.map(|message| json_or_text(&message.payload));
    let (status, word) = if result.is_some() { (StatusCode::OK, "answered") } else { (StatusCode::ACCEPTED, "sent") };
    let name = name.to_owned();
    Ok((status, Json(CommandBody { request, name, by: None, at: None, status: word, result, round_trip_ms })))
}

/// What the broker says, and not the database, which is a moment behind.
async fn is_online(context: &ApiContext, device: Uuid) -> bool {
    let presence = context.node.retained(&format!("devices/{device}/presence")).await;
    let presence = presence.and_then(|message| serde_json::from_slice::<Value>(&message.payload).ok());
    presence.is_some_and(|presence| presence.get("online") == Some(&Value::Bool(true)))
}

/// Show a command
///
/// Also one whose answer came late.
#[utoipa::path(
    get, path = "/v1/commands/{request}", tag = "commands", params(("request" = Uuid, Path)),
    responses((status = 200, description = "The command", body = CommandBody)),
)]
pub(super) async fn one(
    State(context): State<ApiContext>,
    caller: Caller,
    request: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<CommandBody>, Problem> {
    let Path(request) = request?;
    let none = || Problem::not_found(format!("No command {request} to a device of yours."));
    let command = context.store.command(request).await?.ok_or_else(none)?;
    let access = caller.access(&context, command.device).await.map_err(|_| none())?;
    let is_own = command.by == caller.actor();
    // Who may send a command sees what came of it; what others sent is for those who may see commands.
    if !is_own && !access.part.may(Wish::Hear(EventKind::CommandResult)) {
        return Err(none());
    }
    if access.from(None).is_some_and(|from| command.at < from) {
        return Err(none());
    }
    if let Ok(user) = caller.user() {
        access.note(&context, user, Wish::See, &format!("command:{}", command.name)).await?;
    }
    Ok(Json(command.into()))
}

/// List a device's commands
///
/// The newest first, with who sent them and what came of them.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/commands", tag = "commands", params(("device_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of commands", body = PageBody<CommandBody>)),
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<CommandBody>>, Problem> {
    let Query(query) = query?;
    access.require(Wish::Hear(EventKind::Command))?;
    let from = access.from(None);
    let mut page = context.store.commands_of_device(access.device.id, &query.request()?).await?;
    let all = page.items.len();
    page.items.retain(|command| from.is_none_or(|from| command.at >= from));
    if page.items.len() < all {
        // What is older is another owner's: there is no next page.
        page.next = None;
    }
    Ok(Json(PageBody::new(page, Into::into)))
}

impl From<Command> for CommandBody {
    fn from(command: Command) -> Self {
        let status = if command.result.is_some() { "answered" } else { "sent" };
        let result = command.result.map(|result| json_or_text(&result.payload));
        Self {
            request: command.request,
            name: command.name,
            by: Some(command.by),
            at: Some(command.at),
            status,
            result,
            round_trip_ms: None,
        }
    }
}

/// An answer is JSON by contract; one that is not is shown as the text that it is.
fn json_or_text(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}

/// A name becomes one level of a topic: no wildcard, no slash.
fn check_name(name: &str) -> Result<(), Problem> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(usable) {
        Ok(())
    } else {
        Err(Problem::invalid_request("The name of a command has 1 to 64 letters, digits, - or _."))
    }
}

fn check_patience(timeout_ms: u64) -> Result<Duration, Problem> {
    if (100..=60_000).contains(&timeout_ms) {
        Ok(Duration::from_millis(timeout_ms))
    } else {
        Err(Problem::invalid_request("timeout_ms is between 100 and 60000."))
    }
}
