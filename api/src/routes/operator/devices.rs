//! Devices as an operator looks for them.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use mooring_store::{Certificate, Device, DeviceQuery, Page};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Part;
use crate::caller::Caller;
use crate::revocation::Reason;
use crate::routes::devices::DeviceBody;
use crate::routes::page::{PageBody, PageQuery};
use crate::routes::version::{etag, expected_version, stale};
use crate::{OperatorContext, Problem};

/// A device as an operator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct OperatedDevice {
    #[serde(flatten)]
    device: DeviceBody,
    /// The factory's batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    /// The user whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Uuid>,
    /// When it was put out of service.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    retired_at: Option<OffsetDateTime>,
    /// Its tags.
    #[schema(example = json!(["beta", "site/hamburg"]))]
    tags: Vec<String>,
}

impl OperatedDevice {
    fn new(device: Device, tags: &mut BTreeMap<Uuid, Vec<String>>) -> Self {
        Self {
            batch: device.batch.clone(),
            owner: device.owner,
            retired_at: device.retired_at,
            tags: tags.remove(&device.id).unwrap_or_default(),
            device: DeviceBody::new(device, &Part::Operator),
        }
    }
}

/// Which devices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::routes) struct SearchQuery {
    /// Terms separated by spaces, all of which have to hold: `tag:`, `model:`, `batch:`, `owner:`, `online:yes`, `claimed:no`, `enrolled:`, `retired:`; other words
    /// are a part of the name, or the beginning of the id.
    #[param(example = "tag:beta online:yes")]
    query: Option<String>,
}

/// Search devices
#[utoipa::path(
    get, path = "/v1/operator/devices", tag = "operator", params(SearchQuery, PageQuery),
    responses((status = 200, description = "A page of devices", body = PageBody<OperatedDevice>)),
)]
pub(in crate::routes) async fn search(
    State(context): State<OperatorContext>,
    query: Result<Query<SearchQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<OperatedDevice>>, Problem> {
    let (Query(SearchQuery { query }), Query(page)) = (query?, page?);
    let query = DeviceQuery::parse(&query.unwrap_or_default()).map_err(Problem::invalid_request)?;
    let found = context.store.search_devices(&query, &page.request()?).await?;
    Ok(Json(with_tags(&context, found).await?))
}

/// A page of devices, with their tags.
pub(in crate::routes) async fn with_tags(
    context: &OperatorContext,
    page: Page<Device>,
) -> Result<PageBody<OperatedDevice>, Problem> {
    let ids: Vec<Uuid> = page.items.iter().map(|device| device.id).collect();
    let mut tags = context.store.tags_of_devices(&ids).await?;
    let Page { items, next } = page;
    let items = items.into_iter().map(|device| OperatedDevice::new(device, &mut tags)).collect();
    Ok(PageBody::new(Page { items, next }, |device| device))
}

/// What is to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct TagsRequest {
    /// These in the place of its tags: each 1 to 64 letters, digits, `-`, `_`, `.` or `/`; at most 32.
    #[schema(example = json!(["beta", "site/hamburg"]))]
    tags: Vec<String>,
}

/// Tag a device
///
/// With `If-Match`, only in that version.
#[utoipa::path(
    put, path = "/v1/operator/devices/{device_id}/tags", tag = "operator",
    params(("device_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = TagsRequest, example = json!({"tags": ["beta"]})),
    responses((status = 200, description = "The device after the change", body = OperatedDevice)),
)]
pub(in crate::routes) async fn tag(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
    body: Result<Json<TagsRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let (Path(id), Json(TagsRequest { tags })) = (id?, body?);
    let version = context.store.set_tags(id, &tags, expected_version(&headers)?).await.map_err(stale)?;
    let (now, detail) = (OffsetDateTime::now_utc(), json!({"tags": tags}));
    context.store.append_audit(&caller.actor(), "device.tag", &format!("device:{id}"), &detail, now).await?;
    let device = context.store.device(id).await?.ok_or_else(|| Problem::not_found("The device is gone."))?;
    let mut tags = context.store.tags_of_devices(&[id]).await?;
    Ok((etag(version), Json(OperatedDevice::new(device, &mut tags))))
}

/// A certificate on record.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct CertificateBody {
    /// The serial number, in hexadecimal.
    serial: String,
    /// The key identifier of the intermediate that signed it.
    issuer: String,
    /// From when it is valid.
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// When it was signed.
    #[serde(with = "time::serde::rfc3339")]
    issued_at: OffsetDateTime,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<OffsetDateTime>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl From<Certificate> for CertificateBody {
    fn from(certificate: Certificate) -> Self {
        Self {
            serial: certificate.serial,
            issuer: certificate.issuer,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            issued_at: certificate.issued_at,
            revoked_at: certificate.revoked.map(|(at, _)| at),
            reason: certificate.revoked.map(|(_, reason)| reason.into()),
        }
    }
}

/// Every certificate of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct CertificatesBody {
    /// The newest first.
    items: Vec<CertificateBody>,
}

/// List the certificates of a device
#[utoipa::path(
    get, path = "/v1/operator/devices/{device_id}/certificates", tag = "operator", params(("device_id" = Uuid, Path)),
    responses((status = 200, description = "All of them, the newest first", body = CertificatesBody)),
)]
pub(in crate::routes) async fn certificates(
    State(context): State<OperatorContext>,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<CertificatesBody>, Problem> {
    let Path(id) = id?;
    let none = || Problem::not_found(format!("There is no device {id}."));
    context.store.device(id).await?.ok_or_else(none)?;
    let certificates = context.store.certificates_of_device(id).await?;
    Ok(Json(CertificatesBody { items: certificates.into_iter().map(Into::into).collect() }))
}
