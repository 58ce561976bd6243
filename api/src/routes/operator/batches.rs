//! Batches: how many devices may be made, until when, and what was kept out.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_store::{Batch, BatchFinding, NewBatch};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::routes::text;
use crate::{OperatorContext, Problem};

/// A batch, and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct BatchBody {
    /// What it is called.
    #[schema(example = "2026-w51")]
    name: String,
    /// What its devices are.
    #[schema(example = "washer")]
    model: String,
    /// How many devices it may have.
    quota: u64,
    /// How many it has.
    made: u64,
    /// How many of these have had a certificate.
    enrolled: u64,
    /// Until when its devices are made, and enrol for the first time.
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    /// How many devices were kept out for the quota or the date.
    kept_out: u64,
    /// How many other findings there are.
    to_look_at: u64,
}

impl From<Batch> for BatchBody {
    fn from(batch: Batch) -> Self {
        let Batch { name, model, quota, made, enrolled, until, refused, findings, .. } = batch;
        Self { name, model, quota, made, enrolled, until, kept_out: refused, to_look_at: findings }
    }
}

/// What somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct FindingBody {
    /// `overrun`, `late`, `duplicate` or `reprint`.
    kind: &'static str,
    /// The device's id, or the fingerprint of a manufacturer's certificate.
    subject: String,
    /// Where it was found: a station with the line of its log, or an authority.
    source: String,
    /// The rest, for people.
    detail: String,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl From<BatchFinding> for FindingBody {
    fn from(finding: BatchFinding) -> Self {
        let BatchFinding { kind, subject, source, detail, at, .. } = finding;
        Self { kind: kind.as_str(), subject, source, detail, at }
    }
}

/// A batch with what was found in it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct BatchWithFindings {
    #[serde(flatten)]
    batch: BatchBody,
    /// What somebody should look at.
    found: Vec<FindingBody>,
}

/// Every batch.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct BatchesBody {
    /// All of them.
    items: Vec<BatchBody>,
}

/// List batches
#[utoipa::path(
    get, path = "/v1/operator/batches", tag = "operator",
    responses((status = 200, description = "All of them", body = BatchesBody)),
)]
pub(in crate::routes) async fn list(State(context): State<OperatorContext>) -> Result<Json<BatchesBody>, Problem> {
    let items = context.store.batches().await?.into_iter().map(Into::into).collect();
    Ok(Json(BatchesBody { items }))
}

/// A batch to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct BatchRequest {
    /// What it is called: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[schema(example = "2026-w51")]
    name: String,
    /// What its devices are.
    #[schema(example = "washer")]
    model: String,
    /// How many devices it may have.
    #[schema(minimum = 1)]
    quota: u64,
    /// Until when its devices are made, and enrol for the first time.
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

/// Make a batch
#[utoipa::path(
    post, path = "/v1/operator/batches", tag = "operator",
    request_body(content = BatchRequest, example = json!({"name": "2026-w51", "model": "washer", "quota": 5000, "until": "2036-12-31T23:59:59Z"})),
    responses(
        (status = 201, description = "The batch", body = BatchBody),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::routes) async fn create(
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<BatchRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(BatchRequest { name, model, quota, until }) = body?;
    let now = OffsetDateTime::now_utc();
    if until <= now {
        return Err(Problem::invalid_request(format!("until: {until} is over.")));
    }
    let model = text::name(&model)?;
    context.store.create_batch(&NewBatch { name: name.clone(), model: model.clone(), quota, until }, now).await?;
    let detail = json!({"model": model, "quota": quota, "until": until.unix_timestamp()});
    context.store.append_audit(&caller.actor(), "batch.create", &format!("batch:{name}"), &detail, now).await?;
    Ok((StatusCode::CREATED, Json(find(&context, &name).await?)))
}

/// Show a batch
///
/// With each device beyond its quota or date, each that is in two logs, each label that was printed again.
#[utoipa::path(
    get, path = "/v1/operator/batches/{batch_name}", tag = "operator", params(("batch_name" = String, Path)),
    responses((status = 200, description = "The batch", body = BatchWithFindings)),
)]
pub(in crate::routes) async fn one(
    State(context): State<OperatorContext>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<BatchWithFindings>, Problem> {
    let Path(name) = name?;
    let batch = find(&context, &name).await?;
    let found = context.store.batch_findings(&name).await?.into_iter().map(Into::into).collect();
    Ok(Json(BatchWithFindings { batch, found }))
}

/// What is to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct BatchPatch {
    /// How many devices it may have; not below what is made.
    #[serde(default)]
    quota: Option<u64>,
    /// When it ends.
    #[serde(default, with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
}

/// Change a batch
#[utoipa::path(
    patch, path = "/v1/operator/batches/{batch_name}", tag = "operator", params(("batch_name" = String, Path)),
    request_body(content = BatchPatch, example = json!({"quota": 6000})),
    responses((status = 200, description = "The batch after the change", body = BatchBody)),
)]
pub(in crate::routes) async fn change(
    State(context): State<OperatorContext>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    patch: Result<Json<BatchPatch>, JsonRejection>,
) -> Result<Json<BatchBody>, Problem> {
    let (Path(name), Json(BatchPatch { quota, until })) = (name?, patch?);
    find(&context, &name).await?;
    context.store.change_batch(&name, quota, until).await?;
    let (now, detail) =
        (OffsetDateTime::now_utc(), json!({"quota": quota, "until": until.map(OffsetDateTime::unix_timestamp)}));
    context.store.append_audit(&caller.actor(), "batch.change", &format!("batch:{name}"), &detail, now).await?;
    Ok(Json(find(&context, &name).await?))
}

async fn find(context: &OperatorContext, name: &str) -> Result<BatchBody, Problem> {
    let none = || Problem::not_found(format!("There is no batch {name:?}."));
    // Postgres has no U+0000, and no batch's name has it.
    if name.contains('\0') {
        return Err(none());
    }
    Ok(context.store.batch(name).await?.ok_or_else(none)?.into())
}
