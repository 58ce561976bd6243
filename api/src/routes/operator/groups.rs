//! Groups: searches with a name.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_store::{DeviceGroup, DeviceQuery};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::devices::{OperatedDevice, with_tags};
use crate::caller::Caller;
use crate::routes::grants::GONE;
use crate::routes::page::{PageBody, PageQuery};
use crate::routes::text;
use crate::{OperatorContext, Problem};

/// A group.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct GroupBody {
    /// Its id.
    id: Uuid,
    /// Its name.
    #[schema(example = "Beta testers")]
    name: String,
    /// The search.
    #[schema(example = "tag:beta retired:no")]
    query: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl From<DeviceGroup> for GroupBody {
    fn from(group: DeviceGroup) -> Self {
        let DeviceGroup { id, name, query, created_at } = group;
        Self { id, name, query, created_at }
    }
}

/// A group to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct GroupRequest {
    /// Its name.
    #[schema(example = "Beta testers")]
    name: String,
    /// The search, as for devices.
    #[schema(example = "tag:beta retired:no")]
    query: String,
}

/// List groups
#[utoipa::path(
    get, path = "/v1/operator/groups", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page of groups", body = PageBody<GroupBody>)),
)]
pub(in crate::routes) async fn list(
    State(context): State<OperatorContext>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<GroupBody>>, Problem> {
    let Query(page) = page?;
    Ok(Json(PageBody::new(context.store.groups(&page.request()?).await?, Into::into)))
}

/// Make a group
#[utoipa::path(
    post, path = "/v1/operator/groups", tag = "operator",
    request_body(content = GroupRequest, example = json!({"name": "Beta testers", "query": "tag:beta retired:no"})),
    responses(
        (status = 201, description = "The group", body = GroupBody),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::routes) async fn create(
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<GroupRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(GroupRequest { name, query }) = body?;
    let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    DeviceQuery::parse(&query).map_err(Problem::invalid_request)?;
    let query = text::reason(&query)?;
    let group = context.store.create_group(id, &text::name(&name)?, &query, now).await?;
    let detail = json!({"name": group.name, "query": group.query});
    context.store.append_audit(&caller.actor(), "group.create", &format!("group:{id}"), &detail, now).await?;
    Ok((StatusCode::CREATED, Json(GroupBody::from(group))))
}

/// List the devices of a group
///
/// Those that its search finds now.
#[utoipa::path(
    get, path = "/v1/operator/groups/{group_id}/devices", tag = "operator", params(("group_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of devices", body = PageBody<OperatedDevice>)),
)]
pub(in crate::routes) async fn devices(
    State(context): State<OperatorContext>,
    id: Result<Path<Uuid>, PathRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<OperatedDevice>>, Problem> {
    let (Path(id), Query(page)) = (id?, page?);
    let none = || Problem::not_found(format!("There is no group {id}."));
    let group = context.store.group(id).await?.ok_or_else(none)?;
    let query = DeviceQuery::parse(&group.query).map_err(Problem::conflict)?;
    let found = context.store.search_devices(&query, &page.request()?).await?;
    Ok(Json(with_tags(&context, found).await?))
}

/// Forget a group
///
/// Its devices stay.
#[utoipa::path(
    delete, path = "/v1/operator/groups/{group_id}", tag = "operator", params(("group_id" = Uuid, Path)),
    responses((status = 204, description = "It is gone")),
)]
pub(in crate::routes) async fn delete(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    context.store.delete_group(id).await?;
    let now = OffsetDateTime::now_utc();
    context.store.append_audit(&caller.actor(), "group.delete", &format!("group:{id}"), &json!({}), now).await?;
    Ok(GONE)
}
