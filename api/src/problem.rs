//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mooring_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong with a request, and what to do about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, for programs: a URI reference that is stable.
    #[serde(rename = "type")]
    #[schema(example = "/problems/enrolment-secret-used")]
    kind: &'static str,
    /// The kind of problem, for people.
    #[schema(example = "The enrolment secret was used")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What was wrong this time, and the next step.
    detail: String,
    /// When to try again, seconds: the header Retry-After.
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// The ends of `type`, with their status and title. One list: what clients rely on is seen at once.
macro_rules! problems {
    ($($name:ident = $status:ident, $kind:literal, $title:literal;)*) => {
        impl Problem {
            $(pub(crate) fn $name(detail: impl Into<String>) -> Self {
                let status = StatusCode::$status.as_u16();
                Self { kind: concat!("/problems/", $kind), title: $title, status, detail: detail.into(), retry_after_s: None }
            })*
        }
    };
}

problems! {
    invalid_request = BAD_REQUEST, "invalid-request", "The request is not usable";
    unauthorized = UNAUTHORIZED, "unauthorized", "Credentials are missing or not valid";
    forbidden = FORBIDDEN, "forbidden", "The credentials do not allow this";
    not_found = NOT_FOUND, "not-found", "There is no such thing";
    conflict = CONFLICT, "conflict", "The state has changed in the meantime";
    precondition_failed = PRECONDITION_FAILED, "version-mismatch", "The version is not the current one";
    body_too_large = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    malformed_signing_request = BAD_REQUEST, "malformed-signing-request", "The certificate signing request is not usable";
    unacceptable_key = UNPROCESSABLE_ENTITY, "unacceptable-key", "The key in the signing request is not of an accepted kind";
    enrolment_secret_wrong = UNAUTHORIZED, "enrolment-secret-wrong", "Unknown device or wrong enrolment secret";
    enrolment_secret_used = CONFLICT, "enrolment-secret-used", "The enrolment secret was used";
    enrolment_secret_expired = FORBIDDEN, "enrolment-secret-expired", "The enrolment secret has expired";
    batch_ended = FORBIDDEN, "batch-ended", "The batch takes no further devices";
    batch_full = FORBIDDEN, "batch-full", "The batch has as many devices as it may";
    device_retired = FORBIDDEN, "device-retired", "The device is retired";
    certificate_not_in_force = FORBIDDEN, "certificate-not-in-force", "The certificate is no longer in force";
    manufacturer_certificate_used = CONFLICT, "manufacturer-certificate-used", "The manufacturer's certificate has enrolled a device";
    manufacturer_untrusted = FORBIDDEN, "manufacturer-untrusted", "The manufacturer's authority is not trusted here";
    renewal_not_confirmed = FORBIDDEN, "renewal-not-confirmed", "The renewal waits for a confirmation";
    key_generation_refused = FORBIDDEN, "key-generation-refused", "Keys are made by devices alone";
    claim_refused = FORBIDDEN, "claim-refused", "Unknown device or wrong claim code";
    already_claimed = CONFLICT, "already-claimed", "The device has an owner";
    device_not_reachable = CONFLICT, "device-not-reachable", "The device is not connected";
    claim_window_shut = FORBIDDEN, "claim-window-shut", "The device was not switched on lately";
    claim_code_over = FORBIDDEN, "claim-code-over", "The claim code was used or has expired";
    invite_refused = FORBIDDEN, "invite-refused", "The invite is unknown or over";
    invite_for_another = FORBIDDEN, "invite-for-another", "The invite is for another";
    idempotency_in_progress = CONFLICT, "idempotency-in-progress", "The first request is not answered yet";
    idempotency_key_reused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key belongs to another request";
    request_timeout = REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive";
    too_many_requests = TOO_MANY_REQUESTS, "too-many-requests", "Too many requests";
    unavailable = SERVICE_UNAVAILABLE, "unavailable", "The service can't answer now";
    internal = INTERNAL_SERVER_ERROR, "internal", "Something is wrong with the server";
}

impl Problem {
    /// The same problem with a time after which to try again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The kind of problem, for the log.
    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    /// Whether it may be another answer soon: the database is away.
    pub(crate) fn is_passing(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE.as_u16()
    }

    /// The same problem under another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: status.as_u16(), ..self }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

/// A rejection of axum's keeps its status; what it says becomes the detail.
macro_rules! from_rejections {
    ($($rejection:ident),*) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self::invalid_request(rejection.body_text()).with_status(rejection.status())
            }
        })*
    };
}

from_rejections!(JsonRejection, PathRejection, QueryRejection);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 11.6.1: a 401 says how to sign in.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("DPoP algs=\"ES256 EdDSA\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason } => {
                tracing::warn!(reason, "the database is unavailable");
                Self::unavailable("The database can't be reached; try again in a few seconds.")
            }
            StoreError::Conflict { what } => Self::conflict(format!("{what}: fetch it again, then repeat the change.")),
            StoreError::NotFound { what } => Self::not_found(format!("No {what}.")),
            StoreError::Invalid { what } => Self::invalid_request(format!("Not a usable value: {what}.")),
            error @ (StoreError::SchemaTooNew { .. } | StoreError::Internal { .. }) => {
                tracing::error!(%error, "the store failed");
                Self::internal("The server's log says what.")
            }
        }
    }
}
