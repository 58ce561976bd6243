//! Signing: a key becomes a certificate.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use uuid::Uuid;

use crate::enrolment::Proof;
use crate::{ApiContext, PeerAddress, PeerShown, Problem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignQuery {
    device: Option<Uuid>,
}

/// Sign a key
///
/// The body is a certificate signing request (PKCS #10) in PEM or DER, with a P-256, P-384 or Ed25519 key. Only the key is taken from it: every
/// name and extension of the certificate is set by the authority.
///
/// A device shows its one-time enrolment secret; to renew, it connects with the certificate that is in force instead, with the same key in the
/// request or a new one. The old certificate stays valid until its end; a device's certificate that has ended can be renewed for a time of grace,
/// if the operator allows it, and if need be after its owner has confirmed it. A device with a certificate of a manufacturer whose authority is
/// trusted enrols itself with that, once. An operator's token signs for any device.
#[utoipa::path(
    post, path = "/v1/certificates", tag = "certificates",
    params(("device" = Option<Uuid>, Query, description = "With an operator's token: for which device")),
    request_body(content = String, content_type = "application/x-pem-file", description = "The signing request, PEM or DER"),
    responses(
        (status = 201, description = "The certificate, then its intermediate, in PEM", body = String, content_type = "application/pem-certificate-chain"),
        (status = 400, description = "The signing request is malformed or its signature wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Unknown device or wrong secret, no valid token, or neither of them and no certificate", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The secret has expired, the device is retired, the certificate is no longer in force, or the token is no operator's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such device (operators)", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The secret was used", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key is not of an accepted kind", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this address or device", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("enrolment" = []), ("token" = []), ("certificate" = []))
)]
pub(super) async fn sign(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    Extension(PeerShown(shown)): Extension<PeerShown>,
    query: Result<Query<SignQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    context.rates.address(address.ip())?;
    let Query(SignQuery { device }) = query?;
    let body =
        body.map_err(|error| Problem::body_too_large(format!("A signing request has under 16 KiB: {error}.")))?;
    let proof = Proof::read(&context, &headers, shown.as_deref(), device).await?;
    let issued = proof.issue(&context, &body).await?;
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, "application/pem-certificate-chain")], issued.chain_pem))
}
