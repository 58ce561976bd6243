//! What a device gets further of: claim codes, a password, a yes to a late renewal; and what is taken from it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_auth::{ClaimCode, Secret, SecretKind};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::making::no_random;
use crate::revocation::{Order, Receipt, Target};
use crate::routes::revocation::RevocationRequest;
use crate::{OperatorContext, Problem};

/// A claim code: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct ClaimCodeBody {
    /// The code.
    #[schema(example = "7F3K-9QXM-2R8T-W4BN")]
    claim_code: String,
}

/// Give a device a further claim code
///
/// For one whose code was used, has expired, or cannot be read.
#[utoipa::path(
    post, path = "/v1/operator/devices/{device_id}/claim-codes", tag = "operator", params(("device_id" = Uuid, Path)),
    responses((status = 201, description = "The code", body = ClaimCodeBody)),
)]
pub(in crate::routes) async fn claim_code(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Path(id) = id?;
    let (code, now) = (ClaimCode::generate().map_err(no_random)?, OffsetDateTime::now_utc());
    context.store.add_claim_code(id, &code.hash(), now).await?;
    context.store.append_audit(&caller.actor(), "device.claim-code", &format!("device:{id}"), &json!({}), now).await?;
    Ok((StatusCode::CREATED, Json(ClaimCodeBody { claim_code: code.reveal() })))
}

/// A device's password: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct DevicePasswordBody {
    /// The password.
    password: String,
}

/// Give a device a password
///
/// The one before is no longer good.
#[utoipa::path(
    post, path = "/v1/operator/devices/{device_id}/password", tag = "operator", params(("device_id" = Uuid, Path)),
    responses((status = 201, description = "The password", body = DevicePasswordBody)),
)]
pub(in crate::routes) async fn set_password(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Path(id) = id?;
    let (secret, now) = (Secret::generate(SecretKind::DevicePassword).map_err(no_random)?, OffsetDateTime::now_utc());
    context.store.set_device_password(id, Some(&secret.hash())).await?;
    context.store.append_audit(&caller.actor(), "device.password", &format!("device:{id}"), &json!({}), now).await?;
    Ok((StatusCode::CREATED, Json(DevicePasswordBody { password: secret.reveal().to_owned() })))
}

/// Take a device's password
#[utoipa::path(
    delete, path = "/v1/operator/devices/{device_id}/password", tag = "operator", params(("device_id" = Uuid, Path)),
    responses((status = 204, description = "It has none")),
)]
pub(in crate::routes) async fn remove_password(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    context.store.set_device_password(id, None).await?;
    let (subject, now) = (format!("device:{id}"), OffsetDateTime::now_utc());
    context.store.append_audit(&caller.actor(), "device.password.remove", &subject, &json!({}), now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Confirm a device's late renewal
///
/// As its owner can: a device whose certificate has ended not long ago gets a new one when it asks again.
#[utoipa::path(
    post, path = "/v1/operator/devices/{device_id}/late-renewal", tag = "operator", params(("device_id" = Uuid, Path)),
    responses((status = 204, description = "Confirmed")),
)]
pub(in crate::routes) async fn confirm_late_renewal(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    let now = OffsetDateTime::now_utc();
    context.store.confirm_late_renewal(id, &caller.actor(), now).await?;
    let action = "certificate.confirm-late-renewal";
    context.store.append_audit(&caller.actor(), action, &format!("device:{id}"), &json!({}), now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke every certificate of a device
///
/// The device stays: with a new enrolment secret it may enrol again. To end it for good, retire it.
#[utoipa::path(
    post, path = "/v1/operator/devices/{device_id}/revocation", tag = "operator", params(("device_id" = Uuid, Path)),
    request_body(content = RevocationRequest, example = json!({"reason": "keyCompromise"})),
    responses((status = 200, description = "What was done", body = Receipt)),
)]
pub(in crate::routes) async fn revoke_certificates(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<RevocationRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    let (Path(id), Json(RevocationRequest { reason, purge })) = (id?, body?);
    let order = Order { target: Target::CertificatesOfDevice(id), reason, purge, actor: caller.actor() };
    Ok(Json(context.revoker.execute(&order).await?))
}
