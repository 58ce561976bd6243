//! Answers in JSON, and what every answer has in common.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::error::{ErrorCode, OauthError};

/// An answer that nobody may keep (RFC 6749, 5.1).
pub(crate) fn private_json(body: &impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(body)).into_response()
}

/// An answer that everybody may keep for some minutes: documents and keys, which no page needs credentials for.
pub(crate) fn public_json(body: &impl Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "public, max-age=300"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, Json(body)).into_response()
}

/// RFC 6749, 5.2.
impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let (code, why) = self.answer();
        let body = json!({"error": code.as_str(), "error_description": why});
        let mut response = private_json(&body);
        *response.status_mut() = status(code);
        let headers = response.headers_mut();
        match code {
            // A 401 says how to prove oneself (RFC 9110, 11.6.1).
            ErrorCode::InvalidClient => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mooring\""));
            }
            ErrorCode::InvalidToken | ErrorCode::InsufficientScope => challenge(headers, code, &why),
            ErrorCode::TemporarilyUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            ErrorCode::TooManyRequests => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        response
    }
}

/// RFC 6750, 3. The description has no quotes: [`OauthError::answer`] leaves them out.
fn challenge(headers: &mut HeaderMap, code: ErrorCode, why: &str) {
    let value = format!("Bearer realm=\"mooring\", error=\"{}\", error_description=\"{why}\"", code.as_str());
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

pub(crate) fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
