//! The routes. Each is declared once, by its handler: path, method, answers and documentation; and in [`table`], with who may use it.

mod acceptance;
mod account;
mod account_apps;
mod authority;
mod certificates;
mod claims;
mod commands;
mod devices;
mod est;
mod events;
mod grants;
mod history;
mod invites;
mod late_renewal;
mod operator;
mod organisations;
mod page;
pub(crate) mod revocation;
mod rooms;
mod shadow;
mod status;
mod stream;
mod table;
mod terms;
mod text;
mod version;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::routing::any;
use axum::{Extension, Router};
use serde_json::Value;
use utoipa::openapi::security::{AuthorizationCode, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use table::operator_routes;
pub use table::{RouteRule, route_rules};

use crate::house::{HttpRules, keep_house};
use crate::{ApiContext, Problem, Scope, websocket};

/// The API with everything below it: `/v1/...`, `/api/openapi.json` and `/mqtt`. `others` are routers that keep the same house rules, such as the
/// pages of sign-in.
pub fn router(context: ApiContext, rules: HttpRules, others: Router) -> Router {
    let (routes, _) = described().split_for_parts();
    let (rules, rates) = (Arc::new(rules), Arc::clone(&context.rates));
    let body_bytes_max = rules.body_bytes_max;
    routes
        .route("/api/openapi.json", axum::routing::get(openapi))
        .route("/mqtt", any(websocket::mqtt))
        .fallback(|| async { Problem::not_found("No such path; /api/openapi.json lists them all.") })
        .layer(Extension(context.clone()))
        .with_state(context)
        .merge(others)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn(move |request, next| {
            keep_house(Arc::clone(&rules), Arc::clone(&rates), request, next)
        }))
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
        .layer(middleware::map_response(plain_finish))
        .with_state(context)
}

const STATUS_BODY_BYTES_MAX: usize = 16 * 1024;

/// The headers of what is served over plain HTTP: no promise of TLS.
async fn plain_finish(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The description of the API (OpenAPI 3.1), as JSON.
pub fn openapi_json() -> String {
    let (_, description) = described().split_for_parts();
    let mut description: Value = serde_json::to_value(&description).unwrap_or_default();
    table::complete(&mut description);
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
        (name = "rooms", description = "Where devices stand"),
        (name = "sharing", description = "Whom an owner lets in, and who looked"),
        (name = "organisations", description = "Whom technicians belong to"),
        (name = "account", description = "One's own account"),
        (name = "operator", description = "What operators do"),
        (name = "commands", description = "Telling a device what to do")
    )
)]
struct Description;

/// The ways to authenticate.
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
        let scopes = Scopes::from_iter(Scope::ALL.map(|scope| (scope.as_str(), scope.meaning())));
        let code = AuthorizationCode::new("/oauth2/authorize", "/oauth2/token", scopes);
        components.add_security_scheme("oauth", SecurityScheme::OAuth2(OAuth2::new([Flow::AuthorizationCode(code)])));
        let mutual = "The certificate that is in force, in the TLS handshake.";
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description: Some(mutual.to_owned()), extensions: None, deprecated: None },
        );
    }
}

fn described() -> OpenApiRouter<ApiContext> {
    table::routed(OpenApiRouter::with_openapi(Description::openapi()))
}
