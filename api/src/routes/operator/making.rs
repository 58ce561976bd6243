//! Devices as the factory makes them.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::making::{DeviceOrder, MadeDevice, make_devices};
use crate::routes::text;
use crate::{OperatorContext, Problem};

/// As many are made in one transaction; more are made by another request.
const COUNT_MAX: u32 = 100_000;

/// Devices to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct DevicesRequest {
    /// What they are.
    #[schema(example = "washer", min_length = 1, max_length = 100)]
    model: String,
    /// How many; 1 without it.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100_000)]
    count: u32,
    /// The batch, whose quota and end they have to keep.
    #[serde(default)]
    batch: Option<String>,
}

const fn one() -> u32 {
    1
}

/// Devices with their secrets: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct MadeDevices {
    /// All that were asked for.
    items: Vec<MadeDevice>,
}

/// Make devices
///
/// All of them, or none. Their secrets are shown this once: only the hashes are kept.
#[utoipa::path(
    post, path = "/v1/operator/devices", tag = "operator",
    request_body(content = DevicesRequest, example = json!({"model": "washer", "count": 2})),
    responses((status = 201, description = "The devices", body = MadeDevices)),
)]
pub(in crate::routes) async fn create(
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<DevicesRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(DevicesRequest { model, count, batch }) = body?;
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Problem::invalid_request(format!("count is between 1 and {COUNT_MAX}.")));
    }
    let (model, batch) = (text::name(&model)?, batch.as_deref());
    let order = DeviceOrder { model: &model, batch, count, secret_lifetime: context.enrolment_secret };
    let items = make_devices(&context.store, &order, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(MadeDevices { items })))
}
