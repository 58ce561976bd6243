//! Saying yes to a device that asks for a new certificate after the end of its own.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// A device that asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LateRenewal {
    /// The serial number of the certificate that ended.
    serial: String,
    /// When it asked last.
    #[serde(with = "time::serde::rfc3339")]
    asked_at: OffsetDateTime,
    /// When it was confirmed; the next request of the device uses that up.
    #[serde(with = "time::serde::rfc3339::option")]
    confirmed_at: Option<OffsetDateTime>,
}

/// See whether a device asks for a late renewal
///
/// For its owner, or an operator.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/late-renewal", tag = "certificates",
    params(("device_id" = Uuid, Path)),
    responses(
        (status = 200, description = "It does", body = LateRenewal),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such device of yours, or it asks for nothing", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn see(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<LateRenewal>, Problem> {
    let Path(id) = id?;
    check_owner(&context, &caller, id).await?;
    let asked = context.store.late_renewal(id).await?.ok_or_else(|| nothing(id))?;
    let confirmed_at = asked.confirmed.map(|(at, _)| at);
    Ok(Json(LateRenewal { serial: asked.serial, asked_at: asked.asked_at, confirmed_at }))
}

/// Confirm a late renewal
///
/// A device whose certificate has ended not long ago gets a new one when it asks again. For its owner, or an operator; once for each renewal.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/late-renewal", tag = "certificates",
    params(("device_id" = Uuid, Path)),
    responses(
        (status = 204, description = "Confirmed"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such device of yours, or it asks for nothing", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn confirm(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    check_owner(&context, &caller, id).await?;
    let asked = context.store.late_renewal(id).await?.ok_or_else(|| nothing(id))?;
    let now = OffsetDateTime::now_utc();
    context.store.confirm_late_renewal(id, &caller.actor(), now).await?;
    let detail = serde_json::json!({"serial": asked.serial});
    let subject = format!("device:{id}");
    context.store.append_audit(&caller.actor(), "certificate.confirm-late-renewal", &subject, &detail, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Members and guests do not decide on the device's identity.
async fn check_owner(context: &ApiContext, caller: &Caller, id: Uuid) -> Result<(), Problem> {
    let none = || Problem::not_found(format!("You have no device {id}."));
    let device = context.store.device(id).await?.ok_or_else(none)?;
    let is_owner = device.owner.is_some() && device.owner == caller.user().ok();
    if caller.is_operator() || is_owner { Ok(()) } else { Err(none()) }
}

fn nothing(id: Uuid) -> Problem {
    Problem::not_found(format!("Device {id} asks for no renewal."))
}
