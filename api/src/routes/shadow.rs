//! The state that a device is asked to become.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use mooring_protocol::TopicNameBuf;
use mooring_server::Publish;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::devices::ShadowBody;
use super::version::{etag, expected_version, stale};
use crate::access::DeviceAccess;
use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// The wish after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DesiredBody {
    /// The whole wish.
    state: Value,
    /// Its version; also the entity tag.
    version: u64,
}

/// Show the state
///
/// What the device reports, and what it is asked to become; the entity tag is the version of the wish.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/shadow", tag = "devices", params(("device_id" = Uuid, Path)),
    responses((status = 200, description = "Both halves of the state", body = ShadowBody)),
)]
pub(super) async fn one(State(context): State<ApiContext>, access: DeviceAccess) -> Result<impl IntoResponse, Problem> {
    let shadow = context.store.shadow(access.device.id).await?.map(ShadowBody::from).unwrap_or_default();
    Ok((etag(shadow.desired_version), Json(shadow)))
}

/// Change the desired state
///
/// The body is a JSON merge patch (RFC 7386). The device gets the whole wish with its version, now or when it comes back. With `If-Match: "<version>"`
/// the change is made only to that version.
#[utoipa::path(
    patch, path = "/v1/devices/{device_id}/shadow/desired", tag = "devices",
    params(("device_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = Value, content_type = "application/merge-patch+json", example = json!({"program": "wool"})),
    responses((status = 200, description = "The wish after the change", body = DesiredBody)),
)]
pub(super) async fn set_desired(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
    headers: HeaderMap,
    patch: Result<Json<Value>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let (id, Json(patch)) = (access.device.id, patch?);
    let expected = expected_version(&headers)?;
    let now = OffsetDateTime::now_utc();
    let desired = context.store.set_desired(id, &patch, expected, now).await.map_err(stale)?;
    let payload = json!({"version": desired.version, "state": desired.state}).to_string();
    if let Ok(topic) = TopicNameBuf::parse(&format!("devices/{id}/state/desired")) {
        let publish = Publish { retain: true, ..Publish::new(topic, payload) };
        context.node.publish(publish).await.map_err(|_| Problem::unavailable("The broker is shutting down."))?;
    }
    let subject = format!("device:{id}");
    let detail = json!({"version": desired.version});
    context.store.append_audit(&caller.actor(), "shadow.desired", &subject, &detail, now).await?;
    Ok((etag(desired.version), Json(DesiredBody { state: desired.state, version: desired.version })))
}
