//! Taking back: a certificate, or a device as a whole.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use mooring_certs::Serial;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::revocation::{Order, Reason, Receipt, Target};
use crate::{OperatorContext, Problem};

/// How a certificate is to be taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationRequest {
    /// Why; `unspecified` when absent.
    #[serde(default)]
    pub(crate) reason: Reason,
    /// Also end the sessions, with their subscriptions, queues and wills, and remove what is retained for the device.
    #[serde(default)]
    pub(crate) purge: bool,
}

/// How a device is to be retired.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetirementRequest {
    /// Also end its sessions, with their subscriptions, queues and wills, and remove what is retained for it.
    #[serde(default)]
    pub(crate) purge: bool,
}

/// Revoke a certificate
///
/// Its connections are closed at once, every later handshake is refused, and it is in the CRL and in OCSP answers. Needs an operator's token.
/// Revoking it again changes nothing: the first date and reason count.
#[utoipa::path(
    post, path = "/v1/certificates/{serial}/revocation", tag = "certificates",
    params(("serial" = String, Path, description = "The serial number, in hexadecimal")),
    request_body(content = RevocationRequest, example = json!({"reason": "superseded"})),
    responses(
        (status = 200, description = "What was done", body = Receipt),
        (status = 400, description = "The serial number or the body is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not an operator's token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such certificate", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field has the wrong type", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn revoke(
    State(context): State<OperatorContext>,
    caller: Caller,
    serial: Result<Path<String>, PathRejection>,
    body: Result<Json<RevocationRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    caller.require_operator()?;
    let (Path(serial), Json(RevocationRequest { reason, purge })) = (serial?, body?);
    let target = Target::Certificate(parse_serial(&serial)?);
    let order = Order { target, reason, purge, actor: caller.actor() };
    Ok(Json(context.revoker.execute(&order).await?))
}

/// Retire a device
///
/// It is out of service for good: its certificates are revoked, its connections closed, its owner's and guests' rights over it end, and it can
/// neither enrol nor be claimed. Needs an operator's token. Retiring it again changes nothing.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/retirement", tag = "devices",
    params(("device_id" = Uuid, Path)),
    request_body(content = RetirementRequest, example = json!({"purge": true})),
    responses(
        (status = 200, description = "What was done", body = Receipt),
        (status = 400, description = "The id or the body is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not an operator's token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such device", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared as JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field has the wrong type", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn retire(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<RetirementRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    caller.require_operator()?;
    let (Path(id), Json(RetirementRequest { purge })) = (id?, body?);
    let order =
        Order { target: Target::Device(id), reason: Reason::CessationOfOperation, purge, actor: caller.actor() };
    Ok(Json(context.revoker.execute(&order).await?))
}

/// As `openssl x509 -serial` prints it, or as it stands in the database.
pub(crate) fn parse_serial(text: &str) -> Result<Serial, Problem> {
    text.replace(':', "").parse().map_err(|error| Problem::invalid_request(format!("{text:?}: {error}.")))
}
