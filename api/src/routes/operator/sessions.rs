//! MQTT sessions as an operator sees them.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mooring_core::{Identity, SessionInfo, SessionSelector};
use mooring_protocol::ReasonCode;
use mooring_store::{Cursor, Page};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::caller::Caller;
use crate::routes::page::{PageBody, PageQuery};
use crate::{OperatorContext, Problem};

/// An MQTT session, connected or not.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct SessionBody {
    /// The client id.
    #[schema(example = "washer-1")]
    client_id: String,
    /// Whose it is.
    #[schema(example = "spiffe://mooring.local/device/019edb57-0000-7000-8000-000000000000")]
    identity: String,
    /// Where it is connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_from: Option<String>,
    /// How long it outlives its connection, seconds.
    expiry_interval_s: u32,
    /// Its subscriptions.
    subscriptions: usize,
    /// Messages that wait for it.
    queued_messages: usize,
    /// Their bytes.
    queued_bytes: usize,
}

impl From<SessionInfo> for SessionBody {
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

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::routes) struct SessionQuery {
    /// Only of this identity, or of the device or person with this id.
    identity: Option<String>,
}

/// List MQTT sessions
///
/// Of this server, by identity and client id.
#[utoipa::path(
    get, path = "/v1/operator/sessions", tag = "operator", params(SessionQuery, PageQuery),
    responses((status = 200, description = "A page of sessions", body = PageBody<SessionBody>)),
)]
pub(in crate::routes) async fn list(
    State(context): State<OperatorContext>,
    query: Result<Query<SessionQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<SessionBody>>, Problem> {
    let (Query(SessionQuery { identity }), Query(page)) = (query?, page?);
    let request = page.request()?;
    let after = request.after.as_ref().map(|cursor| cursor.as_str().parse::<usize>());
    let after = after.transpose().map_err(|_| Problem::invalid_request("Not a usable value: cursor."))?.unwrap_or(0);
    let wanted = |session: &SessionInfo| {
        let of = session.key.identity.as_str();
        identity.as_deref().is_none_or(|wanted| of == wanted || of.rsplit('/').next() == Some(wanted))
    };
    let mut sessions: Vec<_> = context.server()?.node.sessions().await.into_iter().filter(wanted).collect();
    sessions.sort_by(|a, b| {
        (a.key.identity.as_str(), a.key.client_id.as_str()).cmp(&(b.key.identity.as_str(), b.key.client_id.as_str()))
    });
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let end = after.saturating_add(limit);
    let next = (sessions.len() > end).then(|| Cursor::from(end.to_string()));
    let items = sessions.into_iter().skip(after).take(limit).collect();
    Ok(Json(PageBody::new(Page { items, next }, Into::into)))
}

/// Whose connections are to end.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::routes) struct EndQuery {
    /// The identity, whole.
    #[param(example = "spiffe://mooring.local/device/019edb57-0000-7000-8000-000000000000")]
    identity: String,
    /// Also end the sessions, with their subscriptions, queues and wills.
    purge: Option<bool>,
}

/// What ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct EndBody {
    /// Connections that were closed.
    connections_closed: usize,
}

/// End the connections of an identity
///
/// It may connect again: revoke its certificate, or shut the account, against that.
#[utoipa::path(
    delete, path = "/v1/operator/sessions", tag = "operator", params(EndQuery),
    responses((status = 200, description = "What ended", body = EndBody)),
)]
pub(in crate::routes) async fn end(
    State(context): State<OperatorContext>,
    caller: Caller,
    query: Result<Query<EndQuery>, QueryRejection>,
) -> Result<Json<EndBody>, Problem> {
    let Query(EndQuery { identity, purge }) = query?;
    let purge = purge.unwrap_or_default();
    let selector = SessionSelector::Identity(Identity::new(&identity));
    let why = "ended by an operator";
    let connections_closed =
        context.server()?.node.disconnect(selector, ReasonCode::AdministrativeAction, why, purge).await;
    let (now, detail) = (OffsetDateTime::now_utc(), json!({"purge": purge, "connections_closed": connections_closed}));
    // What an identity is called is others' text: Postgres has no U+0000.
    let subject = format!("identity:{}", identity.replace('\0', ""));
    context.store.append_audit(&caller.actor(), "session.end", &subject, &detail, now).await?;
    Ok(Json(EndBody { connections_closed }))
}
