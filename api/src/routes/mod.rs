//! The routes. Each is declared once, by its handler: path, method, answers and documentation.

mod authority;
mod certificates;
mod claims;
mod commands;
mod devices;
mod est;
mod events;
mod page;
pub(crate) mod revocation;
mod shadow;
mod status;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{ApiContext, Problem, websocket};

/// The API with everything below it: `/v1/...`, `/api/openapi.json` and `/mqtt`.
pub fn router(context: ApiContext, body_bytes_max: usize) -> Router {
    let (routes, _) = described().split_for_parts();
    routes
        .route("/api/openapi.json", axum::routing::get(openapi))
        .route("/mqtt", any(websocket::mqtt))
        .fallback(|| async { Problem::not_found("No such path; /api/openapi.json lists them all.") })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn(move |request, next| refuse_large(body_bytes_max, request, next)))
        .layer(middleware::from_fn(finish))
        .with_state(context)
}

/// What others ask about certificates, and nothing else: lists, OCSP and the issuers' certificates. All of it is signed, so it may go over plain
/// HTTP: whoever asks it may be about to decide whether to trust a TLS server.
pub fn status_router(context: ApiContext) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(status::list))
        .routes(routes!(status::issuer))
        .routes(routes!(status::ocsp_post))
        .routes(routes!(status::ocsp_get));
    let (routes, _) = routes.split_for_parts();
    routes
        .fallback(|| async { Problem::not_found("Here are /.well-known/crl/, /.well-known/ca/ and /ocsp only.") })
        .layer(DefaultBodyLimit::max(STATUS_BODY_BYTES_MAX))
        .layer(middleware::from_fn(finish))
        .with_state(context)
}

const STATUS_BODY_BYTES_MAX: usize = 16 * 1024;

/// The description of the API (OpenAPI 3.1), as JSON.
pub fn openapi_json() -> String {
    let (_, description) = described().split_for_parts();
    let mut text = serde_json::to_string_pretty(&description).unwrap_or_default();
    text.push('\n');
    text
}

async fn openapi() -> impl axum::response::IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mooring",
        description = "Devices, their certificates, state, events and commands.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    tags(
        (name = "certificates", description = "How a device gets its identity"),
        (name = "est", description = "The same by EST (RFC 7030), for clients that speak it"),
        (name = "status", description = "What is revoked, for others: CRL and OCSP"),
        (name = "devices", description = "Devices, their state and history"),
        (name = "commands", description = "Telling a device what to do")
    )
)]
struct Description;

/// The two ways to authenticate.
struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Default::default);
        let scheme = |scheme, text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
        };
        components
            .add_security_scheme("token", scheme(HttpAuthScheme::Bearer, "A token made with `mooring token create`."));
        components.add_security_scheme(
            "enrolment",
            scheme(HttpAuthScheme::Basic, "The device's id as user name, its one-time enrolment secret as password."),
        );
        let mutual = "The certificate that is in force, in the TLS handshake.";
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description: Some(mutual.to_owned()), extensions: None, deprecated: None },
        );
    }
}

fn described() -> OpenApiRouter<ApiContext> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(certificates::sign))
        .routes(routes!(revocation::revoke))
        .routes(routes!(authority::bundle))
        .routes(routes!(est::ca_certificates))
        .routes(routes!(est::simple_enrol))
        .routes(routes!(est::simple_reenrol))
        .routes(routes!(est::csr_attributes))
        .routes(routes!(est::server_key_generation))
        .routes(routes!(status::list))
        .routes(routes!(status::issuer))
        .routes(routes!(status::ocsp_post))
        .routes(routes!(status::ocsp_get))
        .routes(routes!(devices::list))
        .routes(routes!(devices::one))
        .routes(routes!(revocation::retire))
        .routes(routes!(events::list))
        .routes(routes!(shadow::set_desired))
        .routes(routes!(claims::claim))
        .routes(routes!(commands::send))
        .routes(routes!(commands::one))
}

/// A body that is declared too large is refused before it is read: a client that asks first (RFC 9110, 10.1.1) then never sends it.
async fn refuse_large(bytes_max: usize, request: axum::extract::Request, next: Next) -> Response {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > bytes_max => {
            Problem::body_too_large(format!("The body has {length} bytes, and {bytes_max} is the most."))
                .into_response()
        }
        _ => next.run(request).await,
    }
}

/// What every answer has in common: no sniffing, no framing, no caching of what is private, TLS only; and errors that axum made by itself become
/// problem details.
async fn finish(request: axum::extract::Request, next: Next) -> Response {
    let response = next.run(request).await;
    let mut response = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED if !is_problem(&response) => with_headers_of(
            &response,
            Problem::invalid_request("This path does not know this method."),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        _ => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

fn with_headers_of(old: &Response, problem: Problem, status: StatusCode) -> Response {
    let mut response = problem.with_status(status).into_response();
    if let Some(allow) = old.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}
