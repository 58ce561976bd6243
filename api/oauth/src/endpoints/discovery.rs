//! What the provider can do, for clients that ask: OpenID Connect Discovery 1.0 and RFC 8414, and its public keys.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer::public_json;
use crate::client::GRANT_TYPES;
use crate::dpop::ALGORITHMS;
use crate::provider::Provider;
use crate::scope::SCOPES;

/// `GET /.well-known/openid-configuration` and `GET /.well-known/oauth-authorization-server`: one document serves both.
pub(crate) async fn metadata(State(provider): State<Provider>) -> Response {
    public_json(&document(provider.issuer()))
}

/// `GET /oauth2/jwks`
pub(crate) async fn jwks(State(provider): State<Provider>) -> Response {
    public_json(&provider.jwks())
}

fn document(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    let client_authentication = ["client_secret_basic", "client_secret_post", "none"];
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth2/authorize"),
        "token_endpoint": at("/oauth2/token"),
        "pushed_authorization_request_endpoint": at("/oauth2/par"),
        "device_authorization_endpoint": at("/oauth2/device_authorization"),
        "introspection_endpoint": at("/oauth2/introspect"),
        "revocation_endpoint": at("/oauth2/revoke"),
        "userinfo_endpoint": at("/oauth2/userinfo"),
        "end_session_endpoint": at("/oauth2/logout"),
        "jwks_uri": at("/oauth2/jwks"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANT_TYPES,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": client_authentication,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": client_authentication,
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": true,
        "require_request_uri_registration": true,
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "prompt_values_supported": ["none", "login", "consent", "create", "select_account"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "sid", "at_hash", "name",
            "preferred_username", "email", "email_verified"
        ],
        "ui_locales_supported": mooring_accounts::texts::languages().collect::<Vec<_>>(),
    })
}
