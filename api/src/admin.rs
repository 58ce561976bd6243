//! What an operator needs, on loopback: metrics, health, sessions, timelines.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use mooring_core::{Identity, SessionInfo, SessionSelector};
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::Store;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Problem;
use crate::revocation::{Order, Reason, Receipt, Revoker, Target};
use crate::routes::revocation::{RetirementRequest, RevocationRequest, parse_serial};
use crate::tokens;

/// What the operator's half works with.
#[derive(Clone)]
pub struct AdminContext {
    /// The broker.
    pub node: Node,
    /// The database.
    pub store: Store,
    /// Takes certificates back.
    pub revoker: Revoker,
    /// Writes the metrics in Prometheus's text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The operator's half. It has no sign-in of its own: bind it to loopback.
pub fn admin_router(context: AdminContext) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/admin/sessions", get(sessions))
        .route("/admin/clients/{id}/timeline", get(timeline))
        .route("/admin/clients/{id}/connections", delete(disconnect))
        .route("/admin/certificates/{serial}/revocation", post(revoke_certificate))
        .route("/admin/devices/{id}/revocation", post(revoke_device))
        .route("/admin/devices/{id}/retirement", post(retire_device))
        .route("/admin/tokens/{id}/revocation", post(revoke_token))
        .with_state(context)
}

async fn metrics(State(context): State<AdminContext>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (context.metrics)())
}

/// Ready means that devices are served; the database may be away without hurting them, and is reported beside it.
async fn ready(State(context): State<AdminContext>) -> impl IntoResponse {
    let database = match context.store.ping().await {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("away: {error}"),
    };
    Json(serde_json::json!({"broker": "ok", "database": database, "connections": context.node.connections()}))
}

/// One session, as the operator's listing shows it.
#[derive(Serialize)]
struct SessionRow {
    client_id: String,
    identity: String,
    connected_from: Option<String>,
    expiry_interval_s: u32,
    subscriptions: usize,
    queued_messages: usize,
    queued_bytes: usize,
}

impl From<SessionInfo> for SessionRow {
    fn from(session: SessionInfo) -> Self {
        Self {
            client_id: session.key.client_id.as_str().to_owned(),
            identity: session.key.identity.as_str().to_owned(),
            connected_from: session.connected_from.map(|from| from.to_string()),
            expiry_interval_s: session.expiry_interval_s,
            subscriptions: session.subscriptions,
            queued_messages: session.queued,
            queued_bytes: session.queued_bytes,
        }
    }
}

async fn sessions(State(context): State<AdminContext>) -> Json<Vec<SessionRow>> {
    let mut rows: Vec<SessionRow> = context.node.sessions().await.into_iter().map(Into::into).collect();
    rows.sort_by(|a, b| (&a.identity, &a.client_id).cmp(&(&b.identity, &b.client_id)));
    Json(rows)
}

/// One entry of a timeline.
#[derive(Serialize)]
struct TimelineRow {
    at_unix_ms: u64,
    client_id: String,
    identity: String,
    kind: &'static str,
    text: String,
}

async fn timeline(State(context): State<AdminContext>, Path(id): Path<String>) -> Json<Vec<TimelineRow>> {
    let entries = context.node.timeline(&id).await;
    let rows = entries.into_iter().map(|entry| TimelineRow {
        at_unix_ms: entry.at_unix_ms,
        client_id: entry.session.client_id.as_str().to_owned(),
        identity: entry.session.identity.as_str().to_owned(),
        kind: entry.kind,
        text: entry.text,
    });
    Json(rows.collect())
}

#[derive(Deserialize)]
struct DisconnectQuery {
    #[serde(default)]
    purge: bool,
}

/// Ends every connection of an identity or a client id.
async fn disconnect(
    State(context): State<AdminContext>,
    Path(id): Path<String>,
    Query(query): Query<DisconnectQuery>,
) -> Result<impl IntoResponse, Problem> {
    let mut ended = 0;
    let named = |session: &SessionInfo| session.key.client_id.as_str() == id || session.key.identity.as_str() == id;
    for session in context.node.sessions().await.into_iter().filter(named) {
        let selector = SessionSelector::Session(session.key);
        ended += context
            .node
            .disconnect(selector, ReasonCode::AdministrativeAction, "ended by an operator", query.purge)
            .await;
    }
    // An identity may have connections that the listing did not show yet.
    let selector = SessionSelector::Identity(Identity::new(&id));
    ended +=
        context.node.disconnect(selector, ReasonCode::AdministrativeAction, "ended by an operator", query.purge).await;
    Ok((StatusCode::OK, Json(serde_json::json!({"ended": ended}))))
}

/// Bodies are JSON by their declared type: a page in a browser on this machine cannot send one here unasked.
async fn revoke_certificate(
    State(context): State<AdminContext>,
    serial: Result<Path<String>, PathRejection>,
    body: Result<Json<RevocationRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    let (Path(serial), Json(RevocationRequest { reason, purge })) = (serial?, body?);
    execute(&context, Target::Certificate(parse_serial(&serial)?), reason, purge).await
}

async fn revoke_device(
    State(context): State<AdminContext>,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<RevocationRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    let (Path(id), Json(RevocationRequest { reason, purge })) = (id?, body?);
    execute(&context, Target::CertificatesOfDevice(id), reason, purge).await
}

async fn retire_device(
    State(context): State<AdminContext>,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<RetirementRequest>, JsonRejection>,
) -> Result<Json<Receipt>, Problem> {
    let (Path(id), Json(RetirementRequest { purge })) = (id?, body?);
    execute(&context, Target::Device(id), Reason::CessationOfOperation, purge).await
}

/// No body is needed; its type is, for the same reason.
async fn revoke_token(
    State(context): State<AdminContext>,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<serde_json::Value>, JsonRejection>,
) -> Result<Json<serde_json::Value>, Problem> {
    let (Path(id), Json(_)) = (id?, body?);
    let ended = tokens::revoke_token(&context.store, Some(&context.node), id, "operator").await?;
    Ok(Json(serde_json::json!({"connections_closed": ended})))
}

async fn execute(
    context: &AdminContext,
    target: Target,
    reason: Reason,
    purge: bool,
) -> Result<Json<Receipt>, Problem> {
    let order = Order { target, reason, purge, actor: "operator".to_owned() };
    Ok(Json(context.revoker.execute(&order).await?))
}
