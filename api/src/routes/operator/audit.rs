//! The audit log.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mooring_store::AuditRow;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::routes::page::{PageBody, PageQuery};
use crate::{OperatorContext, Problem};

/// A row of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct AuditBody {
    /// Its number, from 1, without gaps.
    seq: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// Who.
    #[schema(example = "user:019edb57-0000-7000-8000-000000000000")]
    actor: String,
    /// Did what.
    #[schema(example = "grant.end")]
    action: String,
    /// To what.
    #[schema(example = "grant:019edb57-0000-7000-8000-000000000001")]
    subject: String,
    /// The rest.
    detail: Value,
    /// SHA-256 over the hash of the row before and this row, in hexadecimal.
    hash: String,
}

impl From<AuditRow> for AuditBody {
    fn from(row: AuditRow) -> Self {
        let AuditRow { seq, at, actor, action, subject, detail, hash } = row;
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { seq, at, actor, action, subject, detail, hash }
    }
}

/// Read the audit log
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/operator/audit", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page of rows", body = PageBody<AuditBody>)),
)]
pub(in crate::routes) async fn list(
    State(context): State<OperatorContext>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<AuditBody>>, Problem> {
    let Query(page) = page?;
    Ok(Json(PageBody::new(context.store.audit(&page.request()?).await?, Into::into)))
}
