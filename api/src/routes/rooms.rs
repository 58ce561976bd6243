//! Rooms: where a person's devices stand.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use mooring_store::Room;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{PageBody, PageQuery};
use super::text;
use super::version::{etag, expected_version, stale};
use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// A room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomBody {
    /// Its id.
    id: Uuid,
    /// Its name.
    #[schema(example = "Cellar")]
    name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Counts its changes; also the entity tag.
    version: u64,
}

impl From<Room> for RoomBody {
    fn from(room: Room) -> Self {
        Self { id: room.id, name: room.name, created_at: room.created_at, version: room.version }
    }
}

/// What a room is to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomRequest {
    /// Its name.
    #[schema(example = "Cellar")]
    name: String,
}

/// List your rooms
#[utoipa::path(
    get, path = "/v1/rooms", tag = "rooms", params(PageQuery),
    responses((status = 200, description = "A page of rooms", body = PageBody<RoomBody>)),
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<RoomBody>>, Problem> {
    let Query(query) = query?;
    let page = context.store.rooms_of_user(caller.user()?, &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}

/// Make a room
#[utoipa::path(
    post, path = "/v1/rooms", tag = "rooms", request_body(content = RoomRequest, example = json!({"name": "Cellar"})),
    responses((status = 201, description = "The room", body = RoomBody)),
)]
pub(super) async fn create(
    State(context): State<ApiContext>,
    caller: Caller,
    body: Result<Json<RoomRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(RoomRequest { name }) = body?;
    let now = OffsetDateTime::now_utc();
    let room = context.store.create_room(Uuid::now_v7(), caller.user()?, &text::name(&name)?, now).await?;
    Ok((StatusCode::CREATED, etag(room.version), Json(RoomBody::from(room))))
}

/// Rename a room
///
/// With `If-Match`, only in that version.
#[utoipa::path(
    patch, path = "/v1/rooms/{room_id}", tag = "rooms",
    params(("room_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = RoomRequest, example = json!({"name": "Bath"})),
    responses((status = 200, description = "The room after the change", body = RoomBody)),
)]
pub(super) async fn rename(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
    body: Result<Json<RoomRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let (Path(id), Json(RoomRequest { name })) = (id?, body?);
    let expected = expected_version(&headers)?;
    let room = context.store.rename_room(caller.user()?, id, &text::name(&name)?, expected).await.map_err(stale)?;
    Ok((etag(room.version), Json(RoomBody::from(room))))
}

/// Delete a room
///
/// The devices in it are in none then.
#[utoipa::path(
    delete, path = "/v1/rooms/{room_id}", tag = "rooms",
    params(("room_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    context.store.delete_room(caller.user()?, id, expected_version(&headers)?).await.map_err(stale)?;
    Ok(StatusCode::NO_CONTENT)
}
