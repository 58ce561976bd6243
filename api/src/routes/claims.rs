//! Claiming: a person becomes the owner of a device.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use mooring_auth::ClaimCode;
use mooring_certs::DeviceId;
use mooring_store::ClaimError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::{Caller, Scope};
use crate::{ApiContext, PeerAddress, Problem};

/// What the label on a device says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimRequest {
    /// The device's id.
    device_id: Uuid,
    /// Its claim code.
    #[schema(example = "7F3K-9QXM-2R8T-W4BN")]
    claim_code: String,
}

/// The claim that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClaimBody {
    /// The device that is yours now.
    device_id: Uuid,
}

/// Claim a device
///
/// With what its label says. A device that has an owner is refused, without telling whose it is.
#[utoipa::path(
    post, path = "/v1/claims", tag = "devices", request_body = ClaimRequest,
    responses(
        (status = 201, description = "The device is yours", body = ClaimBody),
        (status = 400, description = "The body is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Unknown device or wrong code, or the token lacks the scope devices:write", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The device has an owner", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body lacks a field", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this address, person or device", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn claim(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    caller: Caller,
    body: Result<Json<ClaimRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    context.rates.address(address.ip())?;
    caller.require(Scope::DevicesWrite)?;
    context.rates.subject(&caller.actor())?;
    let Json(ClaimRequest { device_id, claim_code }) = body?;
    let (user, now) = (caller.user()?, OffsetDateTime::now_utc());
    let code = ClaimCode::parse(&claim_code);
    let code = code
        .ok_or_else(|| Problem::claim_refused("A claim code has 16 letters and digits, as on the device's label."))?;
    context.store.claim_device(user, device_id, &code.hash(), now).await.map_err(|error| match error {
        ClaimError::WrongCodeOrUnknown => {
            Problem::claim_refused("Check the id and the code against the device's label.")
        }
        ClaimError::AlreadyClaimed => Problem::already_claimed("Its owner has to release it first."),
        ClaimError::CodeIsOver => {
            Problem::claim_refused("The claim code was used, or its time is over: ask the maker for a new one.")
        }
        ClaimError::WindowIsShut => Problem::claim_refused("Switch the device off and on again, then claim it soon."),
        ClaimError::Store(error) => error.into(),
    })?;
    for identity in context.rights.set_owner(DeviceId::from(device_id), Some(user)) {
        context.node.access_changed(Some(&identity));
    }
    let subject = format!("device:{device_id}");
    context.store.append_audit(&caller.actor(), "device.claim", &subject, &json!({}), now).await?;
    Ok((StatusCode::CREATED, Json(ClaimBody { device_id })))
}
