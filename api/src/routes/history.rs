//! History for charts: numbers in buckets of time.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mooring_store::{Bucket, HistoryQuery, Series};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use super::events::parse_time;
use crate::access::DeviceAccess;
use crate::{ApiContext, Problem};

/// Which numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesQuery {
    /// JSON pointers (RFC 6901) into the telemetry, up to 8, separated by commas: `/temperature_c,/drum/rpm`.
    #[param(example = "/temperature_c")]
    fields: String,
    /// From this time on (RFC 3339); without it, a day before `to`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time (RFC 3339); without it, now.
    #[param(format = DateTime)]
    to: Option<String>,
    /// How many buckets the range has, 1 to 2000; 100 without it.
    #[param(minimum = 1, maximum = 2000)]
    buckets: Option<u32>,
}

/// Numbers over time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    /// Where the range begins.
    #[serde(with = "time::serde::rfc3339")]
    from: OffsetDateTime,
    /// Where it ends.
    #[serde(with = "time::serde::rfc3339")]
    to: OffsetDateTime,
    /// The length of a bucket, seconds.
    bucket_s: f64,
    /// One for each field.
    series: Vec<SeriesBody>,
}

/// The numbers of one field.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeriesBody {
    /// The JSON pointer.
    #[schema(example = "/temperature_c")]
    field: String,
    /// By time; buckets without numbers are absent.
    buckets: Vec<BucketBody>,
}

/// The numbers of one bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BucketBody {
    /// Where it begins.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// How many numbers there were.
    count: u64,
    /// The smallest.
    min: f64,
    /// The largest.
    max: f64,
    /// Their mean.
    mean: f64,
    /// The newest.
    last: f64,
}

/// Show telemetry in buckets
///
/// Least, most, mean and last number of each bucket. A range may hold 100,000 measurements; ask for a shorter one beyond that.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/history", tag = "devices",
    params(("device_id" = Uuid, Path), SeriesQuery),
    responses((status = 200, description = "The numbers", body = HistoryBody)),
)]
pub(super) async fn show(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<SeriesQuery>, QueryRejection>,
) -> Result<Json<HistoryBody>, Problem> {
    let Query(query) = query?;
    let query = query.read(&access)?;
    let series = context.store.history(&query).await?;
    let length = query.to - query.from;
    Ok(Json(HistoryBody {
        from: query.from,
        to: query.to,
        bucket_s: length.as_seconds_f64() / f64::from(query.buckets),
        series: series.into_iter().map(|series| SeriesBody::new(series, &query)).collect(),
    }))
}

impl SeriesQuery {
    fn read(self, access: &DeviceAccess) -> Result<HistoryQuery, Problem> {
        let to = parse_time("to", self.to.as_deref())?.unwrap_or_else(OffsetDateTime::now_utc);
        let day_before = to.checked_sub(Duration::DAY).unwrap_or(to);
        let asked = parse_time("from", self.from.as_deref())?.unwrap_or(day_before);
        let from = access.from(Some(asked)).unwrap_or(asked);
        if from >= to && asked < to {
            return Err(Problem::invalid_request("The range is before the device was yours."));
        }
        let fields = self.fields.split(',').map(str::to_owned).collect();
        Ok(HistoryQuery { device: access.device.id, fields, from, to, buckets: self.buckets.unwrap_or(100) })
    }
}

impl SeriesBody {
    fn new(series: Series, query: &HistoryQuery) -> Self {
        let body = |bucket: Bucket| BucketBody {
            at: query.bucket_start(bucket.index),
            count: bucket.count,
            min: bucket.min,
            max: bucket.max,
            mean: bucket.mean,
            last: bucket.last,
        };
        Self { field: series.field, buckets: series.buckets.into_iter().map(body).collect() }
    }
}
