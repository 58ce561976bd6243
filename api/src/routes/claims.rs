//! Claiming: a person becomes the owner of a device.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use mooring_auth::{ClaimCode, Secret, SecretKind};
use mooring_store::ClaimError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
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

/// The claim that was made, and what the phone passes on to the device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClaimBody {
    /// The device that is yours now.
    device_id: Uuid,
    /// Where it connects to.
    #[schema(example = "mqtts://mooring.example.com:8883")]
    endpoint: String,
    /// Whom it trusts there: the root certificate, PEM.
    trust_anchor: String,
    /// The password with which it connects, where that is required: shown this once. The user name is its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_password: Option<String>,
}

/// Claim a device
///
/// With what its label says. A device that has an owner is refused, without telling whose it is. A code is good once, and, where the operator says
/// so, only for a while after the device was switched on.
#[utoipa::path(
    post, path = "/v1/claims", tag = "devices",
    request_body(content = ClaimRequest, example = json!({"device_id": "019edb57-0000-7000-8000-000000000000", "claim_code": "7F3K-9QXM-2R8T-W4BN"})),
    responses(
        (status = 201, description = "The device is yours", body = ClaimBody),
        (status = 409, description = "The device has an owner", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn claim(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    caller: Caller,
    body: Result<Json<ClaimRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    context.rates.address(address.ip())?;
    context.rates.subject(&caller.actor())?;
    let Json(ClaimRequest { device_id, claim_code }) = body?;
    // Many guessers with an account each share the budget of the device.
    context.rates.subject(&format!("claims of {device_id}"))?;
    let (user, now) = (caller.user()?, OffsetDateTime::now_utc());
    let code = ClaimCode::parse(&claim_code);
    let code = code
        .ok_or_else(|| Problem::claim_refused("A claim code has 16 letters and digits, as on the device's label."))?;
    let claimed = context.store.claim_device_by(&context.claims.policy, user, device_id, &code.hash(), now).await;
    claimed.map_err(refused)?;
    context.sharing.owner_changed(device_id, Some(user));
    let device_password = make_password(&context, device_id).await?;
    let subject = format!("device:{device_id}");
    context.store.append_audit(&caller.actor(), "device.claim", &subject, &json!({}), now).await?;
    let endpoint = context.claims.endpoint.clone();
    let trust_anchor = context.authority.current().root_pem().to_owned();
    Ok((StatusCode::CREATED, Json(ClaimBody { device_id, endpoint, trust_anchor, device_password })))
}

fn refused(error: ClaimError) -> Problem {
    match error {
        ClaimError::WrongCodeOrUnknown => {
            Problem::claim_refused("Check the id and the code against the device's label.")
        }
        ClaimError::AlreadyClaimed => Problem::already_claimed("Its owner has to release it first."),
        ClaimError::CodeIsOver => Problem::claim_code_over("Ask the maker, or the operator, for a new code."),
        ClaimError::WindowIsShut => Problem::claim_window_shut("Switch it off and on again, then claim it soon."),
        ClaimError::Store(error) => error.into(),
    }
}

/// The password with which a device connects, where the operator wants one.
async fn make_password(context: &ApiContext, device: Uuid) -> Result<Option<String>, Problem> {
    if !context.claims.device_passwords {
        return Ok(None);
    }
    let secret = Secret::generate(SecretKind::DevicePassword)
        .map_err(|_| Problem::internal("The system has no random numbers."))?;
    context.store.set_device_password(device, Some(&secret.hash())).await?;
    Ok(Some(secret.reveal().to_owned()))
}
