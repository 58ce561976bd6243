//! What a device said, over time.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_store::{EventFilter, EventKind, EventRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{PageBody, PageQuery};
use crate::caller::{Caller, Scope, Wish};
use crate::{ApiContext, Problem};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only of this kind: `telemetry`, `event`, `log`, `state`, `presence`, `command-result`, `update-status`.
    kind: Option<String>,
    /// Only with this name, for example of the phase of a wash.
    name: Option<String>,
    /// Not before this time (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// `newest` first, which is the default, or `oldest`.
    order: Option<String>,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventBody {
    /// When the broker had it.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What it is.
    #[schema(example = "telemetry")]
    kind: &'static str,
    /// The name of the event or the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The request that a result answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Uuid>,
    /// The payload, when it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    /// The payload in base64, when it is anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl From<EventRow> for EventBody {
    fn from(event: EventRow) -> Self {
        let payload = serde_json::from_slice(&event.payload).ok();
        let payload_base64 = payload.is_none().then(|| BASE64_STANDARD.encode(&event.payload));
        Self {
            at: event.at,
            kind: event.kind.as_str(),
            name: event.name,
            request: event.request,
            payload,
            payload_base64,
        }
    }
}

impl EventQuery {
    fn filter(self, device: Uuid) -> Result<EventFilter, Problem> {
        let kind = self.kind.as_deref().map(parse_kind).transpose()?;
        let newest_first = match self.order.as_deref() {
            None | Some("newest") => true,
            Some("oldest") => false,
            Some(other) => return Err(Problem::invalid_request(format!("order is newest or oldest, not {other:?}."))),
        };
        let from = parse_time("from", self.from.as_deref())?;
        let to = parse_time("to", self.to.as_deref())?;
        Ok(EventFilter { device, kind, kinds: None, name: self.name, from, to, newest_first })
    }
}

fn parse_kind(name: &str) -> Result<EventKind, Problem> {
    EventKind::from_name(name).ok_or_else(|| {
        let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::invalid_request(format!("kind is one of {}, not {name:?}.", names.join(", ")))
    })
}

fn parse_time(name: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let parse = |text: &str| {
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            Problem::invalid_request(format!(
                "{name} is a time such as 2026-11-24T08:00:00Z (with + written as %2B), not {text:?}."
            ))
        })
    };
    text.map(parse).transpose()
}

/// List a device's events
///
/// Telemetry, events, logs, reported states, presence and results of commands, by time.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/events", tag = "devices",
    params(("device_id" = Uuid, Path), EventQuery, PageQuery),
    responses(
        (status = 200, description = "A page of events", body = PageBody<EventBody>),
        (status = 400, description = "The query is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope devices:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not a device of yours", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    query: Result<Query<EventQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<EventBody>>, Problem> {
    caller.require(Scope::DevicesRead)?;
    let (Path(id), Query(query), Query(page)) = (id?, query?, page?);
    caller.device(&context, id, Wish::See).await?;
    let events = context.store.events_of_device(&query.filter(id)?, &page.request()).await?;
    Ok(Json(PageBody::new(events, Into::into)))
}
