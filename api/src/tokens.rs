//! Ending tokens: on record, and on the connections that they opened.

use mooring_auth::token_credential;
use mooring_core::SessionSelector;
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::{Store, StoreError};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

/// Revokes a token, and ends the MQTT connections that it opened on `node`; returns how many these were. The database comes first: a client that
/// is on its way in is asked again.
///
/// # Errors
/// [`StoreError::NotFound`], or the database is away; once the revocation is on record, an error of the audit log leaves it in force.
pub async fn revoke_token(store: &Store, node: Option<&Node>, id: Uuid, actor: &str) -> Result<usize, StoreError> {
    let now = OffsetDateTime::now_utc();
    store.revoke_token(id, now).await?;
    let mut ended = 0;
    if let Some(node) = node {
        let selector = SessionSelector::CertificateSerial(token_credential(id));
        ended = node.disconnect(selector, ReasonCode::NotAuthorized, "the token is revoked", false).await;
    }
    let detail = json!({"connections_closed": ended});
    store.append_audit(actor, "token.revoke", &format!("token:{id}"), &detail, now).await?;
    Ok(ended)
}
