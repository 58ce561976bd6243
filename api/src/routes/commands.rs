//! Commands: sent over MQTT, answered over MQTT, seen over HTTP.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_store::{Command, NewCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::{Caller, Scope, Wish};
use crate::commands::Outgoing;
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
    name: String,
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
    params(("device_id" = Uuid, Path), ("name" = String, Path, description = "Letters, digits, - and _; at most 64")),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "The device's answer", body = CommandBody),
        (status = 202, description = "Sent; no answer in time", body = CommandBody),
        (status = 400, description = "The name or the body is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope commands:send, or you are a guest of this device", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not a device of yours", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The device is not connected", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field has the wrong type", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn send(
    State(context): State<ApiContext>,
    caller: Caller,
    path: Result<Path<(Uuid, String)>, PathRejection>,
    body: Result<Json<CommandRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::CommandsSend)?;
    let (Path((id, name)), Json(body)) = (path?, body?);
    check_name(&name)?;
    let patience = check_patience(body.timeout_ms)?;
    caller.device(&context, id, Wish::Command).await?;
    if !is_online(&context, id).await {
        return Err(Problem::device_not_reachable("Try again when its presence says that it is online."));
    }
    let request = Uuid::now_v7();
    let payload = body.arguments.to_string().into_bytes();
    let command = NewCommand {
        request,
        device: id,
        name: name.clone(),
        by: caller.actor(),
        at: OffsetDateTime::now_utc(),
        content_type: Some("application/json".to_owned()),
        payload: Bytes::from(payload.clone()),
    };
    context.store.record_command(&command).await?;
    let sent_at = Instant::now();
    let outgoing = Outgoing { request, device: id, name: &name, payload, patience };
    let answer = context.commands.send(&context.node, outgoing).await;
    let answer = answer.map_err(|_| Problem::unavailable("The broker is shutting down."))?;
    let round_trip_ms = answer.is_some().then(|| sent_at.elapsed().as_secs_f64() * 1000.0);
    let result = answer.map(|message| json_or_text(&message.payload));
    let (status, word) = if result.is_some() { (StatusCode::OK, "answered") } else { (StatusCode::ACCEPTED, "sent") };
    Ok((status, Json(CommandBody { request, name, status: word, result, round_trip_ms })))
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
    responses(
        (status = 200, description = "The command", body = CommandBody),
        (status = 400, description = "The request is no UUID", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope devices:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such command to a device of yours", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn one(
    State(context): State<ApiContext>,
    caller: Caller,
    request: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<CommandBody>, Problem> {
    caller.require(Scope::DevicesRead)?;
    let Path(request) = request?;
    let none = || Problem::not_found(format!("No command {request} to a device of yours."));
    let command = context.store.command(request).await?.ok_or_else(none)?;
    caller.device(&context, command.device, Wish::See).await.map_err(|_| none())?;
    Ok(Json(command.into()))
}

impl From<Command> for CommandBody {
    fn from(command: Command) -> Self {
        let status = if command.result.is_some() { "answered" } else { "sent" };
        let result = command.result.map(|result| json_or_text(&result.payload));
        Self { request: command.request, name: command.name, status, result, round_trip_ms: None }
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
