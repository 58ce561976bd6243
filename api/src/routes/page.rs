//! Paging, as every list has it.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use mooring_store::{Cursor, Page, PageRequest, StoreError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Problem;
use crate::access::DeviceAccess;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the page before; without it, the first page.
    cursor: Option<String>,
    /// Items on a page, 1 to 1000; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl PageQuery {
    pub(super) fn request(&self) -> Result<PageRequest, Problem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=PageRequest::LIMIT_MAX).contains(&limit) {
            return Err(Problem::invalid_request(format!("limit is between 1 and {}.", PageRequest::LIMIT_MAX)));
        }
        Ok(match &self.cursor {
            Some(cursor) => PageRequest::after(Cursor::from(cursor.clone()), limit),
            None => PageRequest::first(limit),
        })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageBody<T> {
    /// The items.
    items: Vec<T>,
    /// The cursor of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> PageBody<T> {
    pub(super) fn new<S>(page: Page<S>, item: impl Fn(S) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(item).collect(),
            next: page.next.map(|cursor| cursor.as_str().to_owned()),
        }
    }
}

/// A page of what hangs on a device, from the time on that the caller may see: what an owner before made is none of it.
pub(super) async fn of_device<S, T: From<S>>(
    access: &DeviceAccess,
    query: Result<Query<PageQuery>, QueryRejection>,
    list: impl AsyncFnOnce(Uuid, OffsetDateTime, &PageRequest) -> Result<Page<S>, StoreError>,
) -> Result<Json<PageBody<T>>, Problem> {
    let Query(query) = query?;
    let page = list(access.device.id, access.since(), &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}
