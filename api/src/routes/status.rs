//! Certificate revocation lists, issuers' certificates, and OCSP.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_certs::OcspFailure;

use crate::{ApiContext, Problem};

/// A certificate revocation list
///
/// Of `devices`, `clients` or `servers`: `devices.crl` in DER, `devices.pem` in PEM. `devices-1a2b3c4d.crl` is the list of the intermediate whose
/// key identifier begins so. Full lists, made again after each revocation.
#[utoipa::path(
    get, path = "/.well-known/crl/{name}", tag = "status",
    params(("name" = String, Path, example = "devices.crl")),
    responses(
        (status = 200, description = "The list (RFC 5280)", body = Vec<u8>, content_type = "application/pkix-crl"),
        (status = 404, description = "No such list", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(())
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let none = || Problem::not_found("There are devices.crl, clients.crl and servers.crl, and each as .pem.");
    let (label, kind) = name.rsplit_once('.').ok_or_else(none)?;
    let issuer = context.authority.current().issuer_of_label(label).ok_or_else(none)?;
    match kind {
        "crl" => {
            let list = context.status.list(issuer).await?;
            Ok(([(header::CONTENT_TYPE, "application/pkix-crl"), CACHED], list.der.clone()).into_response())
        }
        "pem" => {
            let list = context.status.list(issuer).await?;
            Ok(([(header::CONTENT_TYPE, "application/x-pem-file"), CACHED], list.pem()).into_response())
        }
        _ => Err(none()),
    }
}

/// The certificate of an issuer
///
/// `devices.cer` in DER; where leaves point to, for software that lacks a link of the chain.
#[utoipa::path(
    get, path = "/.well-known/ca/{name}", tag = "status",
    params(("name" = String, Path, example = "devices.cer")),
    responses(
        (status = 200, description = "The certificate", body = Vec<u8>, content_type = "application/pkix-cert"),
        (status = 404, description = "No such issuer", body = Problem, content_type = "application/problem+json"),
    ),
    security(())
)]
pub(super) async fn issuer(
    State(context): State<ApiContext>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let label = name.strip_suffix(".cer");
    let authority = context.authority.current();
    let issuer = label.and_then(|label| authority.issuer_of_label(label));
    let certificate = issuer.and_then(|issuer| authority.issuer_certificate(issuer));
    let certificate =
        certificate.ok_or_else(|| Problem::not_found("There are devices.cer, clients.cer and servers.cer."))?;
    Ok(([(header::CONTENT_TYPE, "application/pkix-cert")], certificate.to_vec()).into_response())
}

/// Ask for the status of certificates (OCSP)
///
/// The body is an OCSPRequest (RFC 6960) in DER.
#[utoipa::path(
    post, path = "/ocsp", tag = "status",
    request_body(content = Vec<u8>, content_type = "application/ocsp-request"),
    responses((status = 200, description = "The answer, also when it is that there is none", body = Vec<u8>, content_type = "application/ocsp-response")),
    security(())
)]
pub(super) async fn ocsp_post(State(context): State<ApiContext>, body: Result<Bytes, BytesRejection>) -> Response {
    // What is too large is malformed: OCSP has its own way to say so.
    ocsp_answer(context.status.answer(&body.unwrap_or_default()).await, None)
}

/// Ask for the status of certificates by GET (OCSP)
///
/// The request in base64, percent-encoded (RFC 6960, A.1).
#[utoipa::path(
    get, path = "/ocsp/{*request}", tag = "status",
    params(("request" = String, Path)),
    responses((status = 200, description = "The answer, also when it is that there is none", body = Vec<u8>, content_type = "application/ocsp-response")),
    security(())
)]
pub(super) async fn ocsp_get(
    State(context): State<ApiContext>,
    request: Result<Path<String>, PathRejection>,
) -> Response {
    let request = request.ok().and_then(|Path(text)| BASE64_STANDARD.decode(text.replace(' ', "+")).ok());
    ocsp_answer(context.status.answer(&request.unwrap_or_default()).await, Some(CACHED))
}

/// A revocation may come at any moment: caches ask again, and are told by date what they may rely on.
const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=60");

/// That there is no answer is an answer, too, but none to keep.
fn ocsp_answer(answer: Result<Vec<u8>, OcspFailure>, cached: Option<(HeaderName, &'static str)>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/ocsp-response")];
    match (answer, cached) {
        (Ok(answer), Some(cached)) => (kind, [cached], answer).into_response(),
        (Ok(answer), None) => (kind, answer).into_response(),
        (Err(failure), _) => (kind, failure.to_der()).into_response(),
    }
}
