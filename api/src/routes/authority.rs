//! The trust anchor, for whoever is to verify our certificates.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::ApiContext;

/// The authority's certificates
///
/// The root, then the intermediates, in PEM. Trust the root only when it came to you by a way that you trust.
#[utoipa::path(
    get, path = "/v1/certificates/authority", tag = "certificates",
    responses((status = 200, description = "Root and intermediates", body = String, content_type = "application/pem-certificate-chain")),
    security(())
)]
pub(super) async fn bundle(State(context): State<ApiContext>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], context.authority.current().bundle_pem())
}
