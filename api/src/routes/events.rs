//! What a device said, over time.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
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
use crate::access::{DeviceAccess, Wish};
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

/// A payload as it is shown: JSON as it is, anything else in base64.
pub(super) fn shown(payload: &[u8]) -> (Option<Value>, Option<String>) {
    let json = serde_json::from_slice(payload).ok();
    let base64 = json.is_none().then(|| BASE64_STANDARD.encode(payload));
    (json, base64)
}

impl From<EventRow> for EventBody {
    fn from(event: EventRow) -> Self {
        let (payload, payload_base64) = shown(&event.payload);
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
    fn filter(self, access: &DeviceAccess) -> Result<EventFilter, Problem> {
        let kind = self.kind.as_deref().map(parse_kind).transpose()?;
        let newest_first = match self.order.as_deref() {
            None | Some("newest") => true,
            Some("oldest") => false,
            Some(other) => return Err(Problem::invalid_request(format!("order is newest or oldest, not {other:?}."))),
        };
        let from = parse_time("from", self.from.as_deref())?;
        let to = parse_time("to", self.to.as_deref())?;
        let kinds = access.kinds();
        let kinds = (kinds.len() < EventKind::ALL.len()).then_some(kinds);
        let (device, from) = (access.device.id, access.from(from));
        Ok(EventFilter { device, kind, kinds, name: self.name, from, to, newest_first })
    }
}

fn parse_kind(name: &str) -> Result<EventKind, Problem> {
    EventKind::from_name(name).ok_or_else(|| {
        let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::invalid_request(format!("kind is one of {}, not {name:?}.", names.join(", ")))
    })
}

pub(super) fn parse_time(name: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
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
/// Telemetry, events, logs, reported states, presence and results of commands, by time; of them those that your part includes, since the device has
/// its present owner.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/events", tag = "devices",
    params(("device_id" = Uuid, Path), EventQuery, PageQuery),
    responses((status = 200, description = "A page of events", body = PageBody<EventBody>)),
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<EventQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<EventBody>>, Problem> {
    let (Query(query), Query(page)) = (query?, page?);
    let filter = query.filter(&access)?;
    if let Some(kind) = filter.kind {
        access.require(Wish::Hear(kind))?;
    }
    let events = context.store.events_of_device(&filter, &page.request()?).await?;
    Ok(Json(PageBody::new(events, Into::into)))
}
