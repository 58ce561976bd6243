//! The OAuth 2.1 and OpenID Connect provider, with the pages on which people sign in.
//!
//! [`Provider`] makes tokens and says whether one is good; [`router`] has the endpoints for programs and the pages for people. Accounts, passwords and
//! sessions are in `mooring-accounts`, what is stored in `mooring-store`.
//!
//! What holds everywhere:
//! - Every client has to use PKCE by S256, and an address for answers that is registered, character by character.
//! - Codes, refresh tokens and device codes are 256 random bits, work once, and are stored as their hash. One that is presented twice ends all that
//!   followed from it.
//! - Access tokens are signed by EdDSA and no other algorithm, live for minutes, and are taken back at once in this server: each names its family,
//!   and the families that have ended are known in memory.
//! - A page loads nothing but its style; a form is taken from the page that this browser got in this session.

mod answer;
mod authorize;
mod budget;
mod client;
mod dpop;
mod ended;
mod endpoints;
mod error;
mod jwt;
mod keys;
mod pages;
mod params;
mod provider;
mod redirect;
mod scope;
mod secret;

use std::net::IpAddr;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use endpoints::{device, discovery, introspect, par, token, userinfo};
use mooring_accounts::Accounts;

pub use client::{GRANT_TYPES, check_client, generate_client_secret};
pub use dpop::{DPOP, ProofError, ProvenRequest};
pub use error::{ErrorCode, OauthError, Result};
pub use jwt::TokenError;
pub use provider::{AccessToken, Provider, ProviderConfig, Renewal};
pub use redirect::check_redirect_uri;
pub use scope::SCOPES;

/// The address that a request comes from: the listener puts it into the request's extensions, and budgets go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// What answers under the issuer's address. Requests carry a [`ClientAddress`].
pub fn router(provider: Provider, accounts: Accounts) -> Router {
    let pages = pages::router(Pages { provider: provider.clone(), accounts });
    endpoints(provider).merge(pages).layer(map_response(over_tls_alone))
}

/// What the pages work with.
#[derive(Clone)]
struct Pages {
    provider: Provider,
    accounts: Accounts,
}

/// RFC 6797.
async fn over_tls_alone(mut response: Response) -> Response {
    let value = HeaderValue::from_static("max-age=31536000");
    response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The endpoints for programs: everything under `/oauth2/` that is no page, and the documents under `/.well-known/`.
fn endpoints(provider: Provider) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/oauth-authorization-server", get(discovery::metadata))
        .route("/oauth2/jwks", get(discovery::jwks))
        .route("/oauth2/token", post(token::token))
        .route("/oauth2/par", post(par::push))
        .route("/oauth2/device_authorization", post(device::begin))
        .route("/oauth2/introspect", post(introspect::introspect))
        .route("/oauth2/revoke", post(introspect::revoke))
        .route("/oauth2/userinfo", get(userinfo::userinfo).post(userinfo::userinfo))
        .with_state(provider)
}
