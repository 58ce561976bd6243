//! History: what was measured, in buckets for charts; and what happened since a position, for streams that go on.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::events::event_row;
use crate::sql::{Conditions, Param, micros, params, position_param};
use crate::{EventKind, EventRow, Result, Store, StoreError};

/// What of a device's telemetry is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose.
    pub device: Uuid,
    /// Which values: JSON pointers (RFC 6901) into the payloads.
    pub fields: Vec<String>,
    /// From this time on.
    pub from: OffsetDateTime,
    /// Before this time.
    pub to: OffsetDateTime,
    /// The buckets between the two: 1 to [`HistoryQuery::BUCKETS_MAX`].
    pub buckets: u32,
}

impl HistoryQuery {
    /// The most buckets.
    pub const BUCKETS_MAX: u32 = 2_000;
    /// The most fields.
    pub const FIELDS_MAX: usize = 8;
    /// The most telemetry messages that one query reads.
    pub const ROWS_MAX: u64 = 100_000;
}

/// The numbers of one field in one bucket of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its number, from 0.
    pub index: u32,
    /// How many there were.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// The newest.
    pub last: f64,
}

/// The buckets of one field that have numbers in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The JSON pointer.
    pub field: String,
    /// By time.
    pub buckets: Vec<Bucket>,
}

/// Which events happened since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsSince {
    /// The spool.
    pub source: String,
    /// Behind this position of it.
    pub after: u64,
    /// Up to and without this one.
    pub before: u64,
    /// Not before this time, which is a little before that of the position: it finds the rows.
    pub from: OffsetDateTime,
    /// Of these devices.
    pub devices: Vec<Uuid>,
    /// The most events.
    pub limit: u32,
}

impl Store {
    /// Telemetry in buckets. A payload that is no JSON, and a field that is no number, counts for nothing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a query beyond its bounds, or when the range has more than [`HistoryQuery::ROWS_MAX`] messages.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>> {
        query.check()?;
        let mut series: Vec<_> = query.fields.iter().map(|field| Summary::new(field, query.buckets)).collect();
        let (mut from, mut seen) = (query.from, 0);
        // By time and then position, so that a chunk can go on where the last one ended.
        let mut after: Option<(String, i64)> = None;
        loop {
            let rows = self.telemetry_chunk(query, from, after.as_ref()).await?;
            for row in &rows {
                let at = row.time("at")?;
                let payload: Vec<u8> = row.get("payload")?;
                if let (Some(bucket), Ok(payload)) = (query.bucket_of(at), serde_json::from_slice::<Value>(&payload)) {
                    series.iter_mut().for_each(|summary| summary.add(bucket, &payload));
                }
            }
            seen += u64::try_from(rows.len()).unwrap_or(u64::MAX);
            if seen > HistoryQuery::ROWS_MAX {
                let max = HistoryQuery::ROWS_MAX;
                let what = format!("the range has more than {max} measurements: ask for a shorter one");
                return Err(StoreError::Invalid { what });
            }
            match rows.last() {
                Some(last) if rows.len() >= CHUNK => {
                    from = last.time("at")?;
                    after = Some((last.get("source")?, last.get("position")?));
                }
                _ => break,
            }
        }
        Ok(series.into_iter().map(Summary::finish).collect())
    }

    async fn telemetry_chunk(
        &self,
        query: &HistoryQuery,
        from: OffsetDateTime,
        after: Option<&(String, i64)>,
    ) -> Result<Vec<crate::sql::Row>> {
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let kind = EventKind::Telemetry.code();
        match after {
            None => {
                let sql = "SELECT at, source, position, payload FROM events \
                     WHERE device_id = $1 AND kind = $2 AND at >= $3 AND at < $4 ORDER BY at, source, position LIMIT $5";
                self.rows(sql, &params![query.device, kind, from, query.to, limit]).await
            }
            Some((source, position)) => {
                let sql = "SELECT at, source, position, payload FROM events \
                     WHERE device_id = $1 AND kind = $2 AND at >= $3 AND at < $4 AND (at, source, position) > ($3, $6, $7) \
                     ORDER BY at, source, position LIMIT $5";
                self.rows(sql, &params![query.device, kind, from, query.to, limit, source, *position]).await
            }
        }
    }

    /// Events of some devices since a position, in its order.
    pub async fn events_since(&self, since: &EventsSince) -> Result<Vec<EventRow>> {
        let mut conditions = Conditions::new("source =", &since.source);
        conditions.and("position >", position_param(since.after)?);
        conditions.and("position <", position_param(since.before)?);
        conditions.and("at >=", since.from);
        let devices: Vec<Param<'_>> = since.devices.iter().map(|device| (*device).into()).collect();
        conditions.and_one_of("device_id", &devices);
        let Conditions { sql, mut params } = conditions;
        params.push(i64::from(since.limit).into());
        let sql = format!("SELECT * FROM events WHERE {sql} ORDER BY position LIMIT ${}", params.len());
        self.rows(AssertSqlSafe(sql), &params).await?.iter().map(event_row).collect()
    }
}

/// Rows that are read at a time.
const CHUNK: usize = 5_000;

impl HistoryQuery {
    fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(StoreError::Invalid { what: what.to_owned() });
        if self.to <= self.from {
            return invalid("the range ends before it begins");
        }
        if !(1..=Self::BUCKETS_MAX).contains(&self.buckets) {
            return invalid("there are 1 to 2000 buckets");
        }
        if !(1..=Self::FIELDS_MAX).contains(&self.fields.len()) {
            return invalid("there are 1 to 8 fields");
        }
        match self.fields.iter().find(|field| !field.is_empty() && !field.starts_with('/')) {
            Some(field) => Err(StoreError::Invalid { what: format!("{field:?} is no JSON pointer: it begins with /") }),
            None => Ok(()),
        }
    }

    /// Where a bucket begins.
    pub fn bucket_start(&self, index: u32) -> OffsetDateTime {
        let offset = self.length_us() * i128::from(index) / i128::from(self.buckets);
        self.from + time::Duration::microseconds(i64::try_from(offset).unwrap_or(i64::MAX))
    }

    fn bucket_of(&self, at: OffsetDateTime) -> Option<usize> {
        let offset = i128::from(micros(at)) - i128::from(micros(self.from));
        usize::try_from(offset * i128::from(self.buckets) / self.length_us().max(1)).ok()
    }

    fn length_us(&self) -> i128 {
        i128::from(micros(self.to)) - i128::from(micros(self.from))
    }
}

/// The buckets of a field while they fill.
struct Summary {
    field: String,
    buckets: Vec<Option<Bucket>>,
}

impl Summary {
    fn new(field: &str, buckets: u32) -> Self {
        Self { field: field.to_owned(), buckets: vec![None; usize::try_from(buckets).unwrap_or_default()] }
    }

    fn add(&mut self, at: usize, payload: &Value) {
        let Some(number) = payload.pointer(&self.field).and_then(Value::as_f64) else { return };
        let Some(slot) = self.buckets.get_mut(at) else { return };
        let first = Bucket {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            count: 0,
            min: number,
            max: number,
            mean: 0.0,
            last: number,
        };
        let bucket = slot.get_or_insert(first);
        bucket.count += 1;
        bucket.min = bucket.min.min(number);
        bucket.max = bucket.max.max(number);
        // The running mean: a sum could grow beyond what is exact.
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 numbers")]
        let count = bucket.count as f64;
        bucket.mean += (number - bucket.mean) / count;
        bucket.last = number;
    }

    fn finish(self) -> Series {
        Series { field: self.field, buckets: self.buckets.into_iter().flatten().collect() }
    }
}
