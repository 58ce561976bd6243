//! Devices, one or many.

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use mooring_store::{Device, DeviceChange, EventKind, Grant, Presence, Shadow};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{PageBody, PageQuery};
use super::text;
use super::version::{etag, expected_version, stale};
use crate::access::{DeviceAccess, Part, Wish};
use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceBody {
    /// Its id.
    id: Uuid,
    /// Its model.
    #[schema(example = "washer")]
    model: String,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(example = "Washer in the cellar")]
    name: String,
    /// What you are to it: `owner`, `member`, `guest`, `technician`, or `operator`.
    #[schema(example = "owner")]
    part: &'static str,
    /// The room in which its owner has put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<Uuid>,
    /// Whether it has an owner.
    claimed: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it got its first certificate.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    enrolled_at: Option<OffsetDateTime>,
    /// When it was last measured.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    last_telemetry_at: Option<OffsetDateTime>,
    /// Whether it is connected; absent when your part does not include it.
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<PresenceBody>,
    /// Counts the changes that people make; also the entity tag.
    version: u64,
}

/// Whether a device is connected.
#[derive(Debug, Serialize, ToSchema)]
struct PresenceBody {
    /// Connected now.
    online: bool,
    /// Since when it is, or is not.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    since: Option<OffsetDateTime>,
    /// Why it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A device with its state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceWithShadow {
    #[serde(flatten)]
    device: DeviceBody,
    /// What it reports and what it is asked to become; absent when your part does not include it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowBody>,
}

/// The two halves of a device's state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ShadowBody {
    /// What the device reported.
    #[schema(example = json!({"phase": "idle"}))]
    reported: Value,
    /// How many reports there were.
    reported_version: u64,
    /// What the device is asked to become.
    #[schema(example = json!({"program": "wool"}))]
    desired: Value,
    /// How many changes of the wish there were.
    pub(super) desired_version: u64,
}

impl DeviceBody {
    pub(super) fn new(device: Device, part: &Part) -> Self {
        let Presence { online, since, reason } = device.presence;
        let hears = |kind| part.may(Wish::Hear(kind));
        // What was before the present owner is that one's alone.
        let history_from = device.history_from.filter(|_| !matches!(part, Part::Operator));
        let is_shown = |at: OffsetDateTime| history_from.is_none_or(|from| at >= from);
        Self {
            id: device.id,
            model: device.model,
            name: device.name,
            part: part.name(),
            // A room is the owner's own: nobody else knows its name.
            room: device.room.filter(|_| matches!(part, Part::Owner | Part::Operator)),
            claimed: device.owner.is_some(),
            created_at: device.created_at,
            enrolled_at: device.enrolled_at,
            last_telemetry_at: device.last_telemetry_at.filter(|at| hears(EventKind::Telemetry) && is_shown(*at)),
            presence: hears(EventKind::Presence).then_some(PresenceBody { online, since, reason }),
            version: device.version,
        }
    }
}

impl From<Shadow> for ShadowBody {
    fn from(shadow: Shadow) -> Self {
        Self {
            reported: shadow.reported,
            reported_version: shadow.reported_version,
            desired: shadow.desired.state,
            desired_version: shadow.desired.version,
        }
    }
}

/// List devices
///
/// Your own, and those that others share with you; an operator's token lists them all.
#[utoipa::path(
    get, path = "/v1/devices", tag = "devices", params(PageQuery),
    responses((status = 200, description = "A page of devices", body = PageBody<DeviceBody>)),
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<DeviceBody>>, Problem> {
    let Query(query) = query?;
    if caller.is_operator() {
        let page = context.store.devices(&query.request()?).await?;
        return Ok(Json(PageBody::new(page, |device| DeviceBody::new(device, &Part::Operator))));
    }
    let (user, now) = (caller.user()?, OffsetDateTime::now_utc());
    let page = context.store.devices_of_person(user, now, &query.request()?).await?;
    let mut grants: HashMap<Uuid, Vec<Grant>> = HashMap::new();
    if page.items.iter().any(|device| device.owner != Some(user)) {
        for grant in context.store.grants_of_user(user, now).await? {
            grants.entry(grant.device).or_default().push(grant);
        }
    }
    let body = |device: Device| {
        let part = if device.owner == Some(user) {
            Part::Owner
        } else {
            // A grant that ended between the two questions leaves a part that includes nothing.
            Part::of_grants(grants.get(&device.id).cloned().unwrap_or_default()).unwrap_or(Part::Technician(Vec::new()))
        };
        DeviceBody::new(device, &part)
    };
    Ok(Json(PageBody::new(page, body)))
}

/// Show a device
///
/// With its presence and its shadow, as far as your part includes them.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}", tag = "devices", params(("device_id" = Uuid, Path)),
    responses((status = 200, description = "The device; the entity tag is its version", body = DeviceWithShadow)),
)]
pub(super) async fn one(State(context): State<ApiContext>, access: DeviceAccess) -> Result<impl IntoResponse, Problem> {
    let DeviceAccess { device, part } = access;
    let shadow = if part.may(Wish::Hear(EventKind::State)) {
        Some(context.store.shadow(device.id).await?.map(ShadowBody::from).unwrap_or_default())
    } else {
        None
    };
    let tag = etag(device.version);
    Ok((tag, Json(DeviceWithShadow { device: DeviceBody::new(device, &part), shadow })))
}

/// What is to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DevicePatch {
    /// What you call it.
    #[schema(example = "Washer in the cellar")]
    name: Option<String>,
    /// One of your rooms, or null for none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    room: Option<Option<Uuid>>,
}

/// Null is a value, and absence is another.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Rename a device, or move it to another room
///
/// The owner alone. With `If-Match`, only in that version.
#[utoipa::path(
    patch, path = "/v1/devices/{device_id}", tag = "devices",
    params(("device_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = DevicePatch, example = json!({"name": "Washer in the cellar"})),
    responses((status = 200, description = "The device after the change", body = DeviceBody)),
)]
pub(super) async fn change(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
    headers: HeaderMap,
    patch: Result<Json<DevicePatch>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(DevicePatch { name, room }) = patch?;
    let change = DeviceChange { name: name.as_deref().map(text::name).transpose()?, room };
    let owner = access.device.owner.ok_or_else(|| Problem::conflict("The device has no owner."))?;
    let expected = expected_version(&headers)?;
    let device = context.store.change_device(owner, access.device.id, &change, expected).await.map_err(stale)?;
    let detail = json!({"version": device.version});
    let subject = format!("device:{}", device.id);
    context.store.append_audit(&caller.actor(), "device.change", &subject, &detail, OffsetDateTime::now_utc()).await?;
    Ok((etag(device.version), Json(DeviceBody::new(device, &access.part))))
}

/// What giving a device up did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReleaseBody {
    /// The device that is yours no longer.
    device_id: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// Grants that ended with it.
    grants_ended: u64,
    /// Invites that nobody can accept any more.
    invites_cancelled: u64,
    /// Retained messages that were removed.
    retained_purged: Vec<String>,
}

/// Give a device up
///
/// It has no owner then, and can be claimed by its label. Shares end; name, state and what was retained are forgotten; nobody after you sees its
/// history until now.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/release", tag = "devices", params(("device_id" = Uuid, Path)),
    responses((status = 200, description = "What was done", body = ReleaseBody)),
)]
pub(super) async fn release(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
) -> Result<Json<ReleaseBody>, Problem> {
    let id = access.device.id;
    let owner = access.device.owner.ok_or_else(|| Problem::conflict("The device has no owner."))?;
    let now = OffsetDateTime::now_utc();
    let gone = context.store.release_device_by(&context.claims.policy, owner, id, now).await?;
    context.sharing.owner_changed(id, None);
    let retained_purged = context.sharing.purge_retained(id).await;
    let detail = json!({"grants_ended": gone.grants_ended, "retained_purged": retained_purged});
    context.store.append_audit(&caller.actor(), "device.release", &format!("device:{id}"), &detail, now).await?;
    Ok(Json(ReleaseBody {
        device_id: id,
        at: now,
        grants_ended: gone.grants_ended,
        invites_cancelled: gone.invites_cancelled,
        retained_purged,
    }))
}

/// Reset a device to how it left the factory
///
/// Sends the command `factory-reset`, and waits for the device's answer like any command. Ownership stays: give the device up, or transfer it, for that.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/factory-reset", tag = "devices", params(("device_id" = Uuid, Path)),
    responses(
        (status = 200, description = "The device's answer", body = super::commands::CommandBody),
        (status = 202, description = "Sent; no answer in time", body = super::commands::CommandBody),
        (status = 409, description = "The device is not connected", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn factory_reset(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
) -> Result<(StatusCode, Json<super::commands::CommandBody>), Problem> {
    let now = OffsetDateTime::now_utc();
    let subject = format!("device:{}", access.device.id);
    context.store.append_audit(&caller.actor(), "device.factory-reset", &subject, &json!({}), now).await?;
    let order = super::commands::Order {
        device: access.device.id,
        name: "factory-reset",
        arguments: json!({}),
        patience: std::time::Duration::from_secs(10),
    };
    super::commands::execute(&context, &caller, order).await
}
