//! Devices, one or many.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use mooring_store::{Device, Presence, Shadow};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{PageBody, PageQuery};
use crate::caller::{Caller, Scope, Wish};
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
    name: String,
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
    /// Whether it is connected.
    presence: PresenceBody,
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
    /// What it reports and what it is asked to become.
    shadow: ShadowBody,
}

/// The two halves of a device's state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ShadowBody {
    /// What the device reported.
    reported: Value,
    /// How many reports there were.
    reported_version: u64,
    /// What the device is asked to become.
    desired: Value,
    /// How many changes of the wish there were.
    desired_version: u64,
}

impl From<Device> for DeviceBody {
    fn from(device: Device) -> Self {
        let Presence { online, since, reason } = device.presence;
        Self {
            id: device.id,
            model: device.model,
            name: device.name,
            claimed: device.owner.is_some(),
            created_at: device.created_at,
            enrolled_at: device.enrolled_at,
            last_telemetry_at: device.last_telemetry_at,
            presence: PresenceBody { online, since, reason },
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
/// Your own; an operator's token lists them all.
#[utoipa::path(
    get, path = "/v1/devices", tag = "devices", params(PageQuery),
    responses(
        (status = 200, description = "A page of devices", body = PageBody<DeviceBody>),
        (status = 400, description = "The query is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope devices:read", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<DeviceBody>>, Problem> {
    caller.require(Scope::DevicesRead)?;
    let Query(query) = query?;
    let page = if caller.is_operator() {
        context.store.devices(&query.request()).await?
    } else {
        context.store.devices_of_owner(caller.user()?, &query.request()).await?
    };
    Ok(Json(PageBody::new(page, Into::into)))
}

/// Show a device
///
/// With its presence and its shadow.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}", tag = "devices", params(("device_id" = Uuid, Path)),
    responses(
        (status = 200, description = "The device", body = DeviceWithShadow),
        (status = 400, description = "The id is no UUID", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope devices:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Not a device of yours", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub(super) async fn one(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<DeviceWithShadow>, Problem> {
    caller.require(Scope::DevicesRead)?;
    let Path(id) = id?;
    let device = caller.device(&context, id, Wish::See).await?;
    let shadow = context.store.shadow(id).await?.map(ShadowBody::from).unwrap_or_default();
    Ok(Json(DeviceWithShadow { device: device.into(), shadow }))
}
