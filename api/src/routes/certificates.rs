//! Signing: a device's key and its one-time secret become a certificate.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_auth::{Secret, SecretKind};
use mooring_certs::{CsrError, DeviceId, Issued, SigningRequest, Validity};
use mooring_store::{CertificateHolder, EnrolError, NewCertificate};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::caller::bearer;
use crate::{ApiContext, Problem};

/// Sign a device's key
///
/// The body is a certificate signing request (PKCS #10) in PEM or DER, with a P-256, P-384 or Ed25519 key. Only the key is taken from it: every
/// name and extension of the certificate is set by the authority. The enrolment secret works once.
#[utoipa::path(
    post, path = "/v1/certificates", tag = "certificates",
    request_body(content = String, content_type = "application/x-pem-file", description = "The signing request, PEM or DER"),
    responses(
        (status = 201, description = "The certificate, then its intermediate, in PEM", body = String, content_type = "application/pem-certificate-chain"),
        (status = 400, description = "The signing request is malformed or its signature wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Unknown device or wrong secret", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The secret has expired, or the device is retired", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The secret was used", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key is not of an accepted kind", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("enrolment" = []))
)]
pub(super) async fn sign(
    State(context): State<ApiContext>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    let body =
        body.map_err(|error| Problem::body_too_large(format!("A signing request has under 16 KiB: {error}.")))?;
    let now = OffsetDateTime::now_utc();
    let enrolment = Enrolment::read(&context, &headers).await?;
    let Enrolment { device, secret_hash } = enrolment;
    context.store.check_enrolment(device, &secret_hash, now).await.map_err(enrolment_problem)?;
    let request = SigningRequest::parse(&body).map_err(signing_request_problem)?;
    let issued = context
        .authority
        .issue_device(&request, DeviceId::from(device), &Validity::new(now, context.lifetimes.device))
        .map_err(|error| {
            tracing::error!(%device, %error, "a certificate could not be issued");
            Problem::internal("The certificate could not be issued; the server's log says why.")
        })?;
    // The certificate leaves this function only when the store has used up the secret for it: of two racing requests one gets an answer.
    context.store.enrol(device, &secret_hash, now, &record(&issued, device)).await.map_err(enrolment_problem)?;
    let detail = json!({"serial": issued.serial.to_string(), "not_after": issued.not_after.unix_timestamp()});
    context
        .store
        .append_audit(&format!("device:{device}"), "certificate.issue", &format!("device:{device}"), &detail, now)
        .await?;
    tracing::info!(%device, serial = %issued.serial, "device enrolled");
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, "application/pem-certificate-chain")], issued.chain_pem))
}

/// The device that wants a certificate, and the proof that it may have one.
struct Enrolment {
    device: Uuid,
    secret_hash: [u8; 32],
}

impl Enrolment {
    /// From `Basic <id>:<secret>` (`curl -u`), or from `Bearer <secret>`, which names its device by itself.
    async fn read(context: &ApiContext, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(secret) = bearer(headers) {
            let secret_hash = enrolment_hash(secret)?;
            let device = context.store.device_of_enrolment_secret(&secret_hash).await?;
            let device = device.ok_or_else(|| enrolment_problem(EnrolError::UnknownOrWrongSecret))?;
            return Ok(Self { device, secret_hash });
        }
        let (device, secret) = basic(headers).ok_or_else(|| {
            Problem::unauthorized(
                "Send the device's id and its enrolment secret: `curl -u \"$DEVICE_ID:$ENROLMENT_SECRET\"`.",
            )
        })?;
        let device = device.parse().map_err(|_| {
            Problem::enrolment_secret_wrong(
                "The user name must be the device's id, a UUID as `mooring device create` printed it.",
            )
        })?;
        Ok(Self { device, secret_hash: enrolment_hash(&secret)? })
    }
}

/// What has not even the form of a secret is as wrong as a wrong one.
fn enrolment_hash(text: &str) -> Result<[u8; 32], Problem> {
    let secret = Secret::parse(SecretKind::Enrolment, text);
    secret.map(|secret| secret.hash()).ok_or_else(|| enrolment_problem(EnrolError::UnknownOrWrongSecret))
}

/// User name and password of `Authorization: Basic` (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = credentials.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn record(issued: &Issued, device: Uuid) -> NewCertificate {
    NewCertificate {
        serial: issued.serial.to_string(),
        holder: CertificateHolder::Device(device),
        issuer: issued.issuer_id.to_string(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        fingerprint: issued.fingerprint_sha256,
        der: issued.der.to_vec(),
    }
}

fn enrolment_problem(error: EnrolError) -> Problem {
    match error {
        EnrolError::UnknownOrWrongSecret => Problem::enrolment_secret_wrong(
            "Check the device's id and the secret against what `mooring device create` printed.",
        ),
        EnrolError::Used => Problem::enrolment_secret_used(
            "A secret works once. If the device lost its key, have the operator make a new secret for it.",
        ),
        EnrolError::Expired => Problem::enrolment_secret_expired("Have the operator make a new secret for the device."),
        EnrolError::Retired => Problem::device_retired("A retired device gets no certificate."),
        EnrolError::Store(error) => error.into(),
    }
}

fn signing_request_problem(error: CsrError) -> Problem {
    match error {
        error @ (CsrError::KeyType(_) | CsrError::KeyEncoding(_)) => Problem::unacceptable_key(format!("{error}.")),
        error => Problem::malformed_signing_request(format!("{error}.")),
    }
}
