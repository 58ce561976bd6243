//! Enrolment over Secure Transport (RFC 7030).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_certs::certs_only;

use crate::enrolment::Proof;
use crate::{ApiContext, PeerAddress, PeerShown, Problem};

const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 2045, 6.8: lines of base64 have at most 76 characters.
const LINE_CHARS: usize = 76;

/// The authority's certificates (EST)
///
/// The root, then the intermediates, as PKCS#7 in base64. Trust the root only when it came to you by a way that you trust.
#[utoipa::path(
    get, path = "/.well-known/est/cacerts", tag = "est",
    responses((status = 200, description = "Root and intermediates", body = String, content_type = "application/pkcs7-mime")),
    security(())
)]
pub(super) async fn ca_certificates(State(context): State<ApiContext>) -> Response {
    let certificates = context.authority.current().certificates();
    base64_answer(CERTS_ONLY, &certs_only(&certificates))
}

/// Enrol (EST)
///
/// The body is a PKCS #10 request in base64 of DER; PEM and DER are taken, too. Shows the device's one-time secret by HTTP Basic, or the
/// certificate in force, or that of its manufacturer, in the handshake.
#[utoipa::path(
    post, path = "/.well-known/est/simpleenroll", tag = "est",
    request_body(content = String, content_type = "application/pkcs10", description = "The signing request"),
    responses(
        (status = 200, description = "The certificate", body = String, content_type = "application/pkcs7-mime"),
        (status = 400, description = "The signing request is malformed or its signature wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Unknown device or wrong secret, or neither secret nor certificate", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The secret has expired, the device is retired, or the certificate is no longer in force", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The secret was used", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key is not of an accepted kind", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this address or device", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("enrolment" = []), ("certificate" = []))
)]
pub(super) async fn simple_enrol(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    Extension(PeerShown(shown)): Extension<PeerShown>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let enrolled = async {
        context.rates.address(address.ip())?;
        let body = signing_request(&body.map_err(|error| too_large(&error))?)?;
        let proof = Proof::read(&context, &headers, shown.as_deref(), None).await?;
        proof.issue(&context, &body).await
    };
    let issued = enrolled.await.map_err(challenge)?;
    // RFC 7030, 4.2.3: the certificate that was issued, and no other; the others are at cacerts.
    Ok(base64_answer(CERTS_ONLY, &certs_only(&[issued.der])))
}

/// Renew (EST)
///
/// As simpleenroll, with the certificate in force in the handshake. The request may hold the same key or a new one; its names are not looked at.
#[utoipa::path(
    post, path = "/.well-known/est/simplereenroll", tag = "est",
    request_body(content = String, content_type = "application/pkcs10", description = "The signing request"),
    responses(
        (status = 200, description = "The certificate", body = String, content_type = "application/pkcs7-mime"),
        (status = 400, description = "The signing request is malformed or its signature wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No certificate in the handshake", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The device is retired, or the certificate is no longer in force", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key is not of an accepted kind", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests of this address or device", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("certificate" = []))
)]
pub(super) async fn simple_reenrol(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    Extension(PeerShown(shown)): Extension<PeerShown>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    context.rates.address(address.ip())?;
    let body = signing_request(&body.map_err(|error| too_large(&error))?)?;
    let shown = shown.ok_or_else(|| {
        Problem::unauthorized("Connect with the certificate that is to be renewed: `curl --cert --key`.")
    })?;
    let issued = Proof::of_certificate(&context, &shown)?.issue(&context, &body).await?;
    Ok(base64_answer(CERTS_ONLY, &certs_only(&[issued.der])))
}

/// What a request should have (EST)
///
/// A P-256 or P-384 key and a signature with SHA-256: CsrAttrs of RFC 7030, 4.5.2. All else in a request is passed over.
#[utoipa::path(
    get, path = "/.well-known/est/csrattrs", tag = "est",
    responses((status = 200, description = "The attributes", body = String, content_type = "application/csrattrs")),
    security(())
)]
pub(super) async fn csr_attributes() -> Response {
    base64_answer("application/csrattrs", &mooring_certs::csr_attributes())
}

/// Have the server make a key (EST): refused
///
/// A key that leaves the place where it was made is known in two places. Devices make their own.
#[utoipa::path(
    post, path = "/.well-known/est/serverkeygen", tag = "est",
    responses((status = 403, description = "Always", body = Problem, content_type = "application/problem+json")),
    security(())
)]
pub(super) async fn server_key_generation() -> Problem {
    Problem::key_generation_refused("Make the key where it will be used, and send a signing request to simpleenroll.")
}

fn too_large(error: &BytesRejection) -> Problem {
    Problem::body_too_large(format!("A signing request has under 16 KiB: {error}."))
}

/// RFC 8951, 3.1: the body is base64 whatever Content-Transfer-Encoding says. PEM and DER cannot be mistaken for it.
fn signing_request(body: &[u8]) -> Result<Vec<u8>, Problem> {
    const SEQUENCE: u8 = 0x30;
    // The second byte of the DER of a request is 0x82: no base64.
    if body.starts_with(b"-----") || (body.first() == Some(&SEQUENCE) && body.get(1) >= Some(&0x80)) {
        return Ok(body.to_vec());
    }
    let compact: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(compact).map_err(|error| {
        Problem::malformed_signing_request(format!("The body is no base64 of a PKCS #10 request: {error}."))
    })
}

fn base64_answer(kind: &'static str, der: &[u8]) -> Response {
    let encoded = BASE64_STANDARD.encode(der);
    let mut body = String::with_capacity(encoded.len() + encoded.len() / LINE_CHARS + 2);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        body.push_str(line);
        body.push('\n');
        rest = after;
    }
    let encoding = (HeaderName::from_static("content-transfer-encoding"), HeaderValue::from_static("base64"));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), encoding], body).into_response()
}

/// RFC 7030, 3.2.3: an EST client that is to sign in is asked for HTTP Basic.
fn challenge(problem: Problem) -> Response {
    let mut response = problem.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"est\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::signing_request;

    #[test]
    fn base64_pem_and_der_are_told_apart() {
        assert_eq!(signing_request(b"MIIB\r\nAAAA\n").ok(), Some(vec![0x30, 0x82, 1, 0, 0, 0]));
        assert_eq!(signing_request(b"-----BEGIN x").ok(), Some(b"-----BEGIN x".to_vec()));
        assert_eq!(signing_request(&[0x30, 0x82, 1]).ok(), Some(vec![0x30, 0x82, 1]));
        assert!(signing_request(b"no base64!").is_err());
        // A text of base64 may begin with the digit that is SEQUENCE.
        assert_eq!(signing_request(b"0AAA").ok(), Some(vec![0xd0, 0, 0]));
    }
}
