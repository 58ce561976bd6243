//! The state that a device is asked to become.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use mooring_protocol::TopicNameBuf;
use mooring_server::Publish;
use mooring_store::StoreError;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::{Caller, Scope, Wish};
use crate::{ApiContext, Problem};

/// The wish after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DesiredBody {
    /// The whole wish.
    state: Value,
    /// Its version; also the entity tag.
    version: u64,
}

/// Change the desired state
///
/// The body is a JSON merge patch (RFC 7386). The device gets the whole wish with its version, now or when it comes back. With `If-Match: "<version>"`
/// the change is made only to that version.
#[utoipa::path(
    patch, path = "/v1/devices/{device_id}/shadow/desired", tag = "devices",
    params(("device_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = Value, content_type = "application/merge-patch+json", example = json!({"program": "wool"})),
    responses(
        (status = 200, description = "The wish after the change", body = DesiredBody),
        (status = 400, description = "The patch is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope devices:write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not a device of yours", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The version is another one", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn set_desired(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
    patch: Result<Json<Value>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::DevicesWrite)?;
    let (Path(id), Json(patch)) = (id?, patch?);
    caller.device(&context, id, Wish::Command).await?;
    let expected = expected_version(&headers)?;
    let now = OffsetDateTime::now_utc();
    let desired = context.store.set_desired(id, &patch, expected, now).await.map_err(|error| match error {
        StoreError::Conflict { .. } => {
            Problem::precondition_failed("Fetch the device again, and repeat the change on its current version.")
        }
        other => other.into(),
    })?;
    let payload = json!({"version": desired.version, "state": desired.state}).to_string();
    if let Ok(topic) = TopicNameBuf::parse(&format!("devices/{id}/state/desired")) {
        let publish = Publish { retain: true, ..Publish::new(topic, payload) };
        context.node.publish(publish).await.map_err(|_| Problem::unavailable("The broker is shutting down."))?;
    }
    let subject = format!("device:{id}");
    context
        .store
        .append_audit(&caller.actor(), "shadow.desired", &subject, &json!({"version": desired.version}), now)
        .await?;
    let tag = format!("\"{}\"", desired.version);
    Ok(([(header::ETAG, tag)], Json(DesiredBody { state: desired.state, version: desired.version })))
}

fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    version.map(Some).ok_or_else(|| Problem::invalid_request("If-Match is a version in quotes, such as \"3\"."))
}
