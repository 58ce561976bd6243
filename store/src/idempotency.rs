//! Requests with an Idempotency-Key: the first answer is kept for a while, and given again.

use time::{Duration, OffsetDateTime};

use crate::sql::{corrupt, params};
use crate::{Result, Store};

/// How long an answer is kept.
pub const IDEMPOTENCY_LIFETIME: Duration = Duration::hours(24);
/// After how long a request without an answer counts as given up: the server was stopped under it.
const GIVEN_UP_AFTER: Duration = Duration::minutes(5);

/// What is known of a request when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotent {
    /// It is the first with this key: it is noted, and waits for its answer.
    New,
    /// The first is not answered yet.
    InProgress,
    /// The key was used for another request.
    OtherRequest,
    /// This was the answer.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The rest, as the caller gave it.
        answer: Vec<u8>,
    },
}

impl Store {
    /// Notes a request, or says what came of the first one with its key.
    pub async fn begin_idempotent(
        &self,
        key_hash: &[u8; 32],
        request_hash: &[u8; 32],
        now: OffsetDateTime,
    ) -> Result<Idempotent> {
        let mut tx = self.begin().await?;
        // The number is bounded, so that a crowd of old ones does not hold up one request.
        let sql = "DELETE FROM idempotent_requests WHERE key_hash IN \
             (SELECT key_hash FROM idempotent_requests WHERE created_at < $1 ORDER BY created_at LIMIT 100)";
        tx.execute(sql, &params![now - IDEMPOTENCY_LIFETIME]).await?;
        let sql = "DELETE FROM idempotent_requests WHERE key_hash = $1 AND \
             (created_at < $2 OR (status IS NULL AND created_at < $3))";
        tx.execute(sql, &params![key_hash, now - IDEMPOTENCY_LIFETIME, now - GIVEN_UP_AFTER]).await?;
        let sql = "INSERT INTO idempotent_requests (key_hash, request_hash, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING";
        if tx.execute(sql, &params![key_hash, request_hash, now]).await? == 1 {
            tx.commit().await?;
            return Ok(Idempotent::New);
        }
        let sql = "SELECT * FROM idempotent_requests WHERE key_hash = $1";
        let Some(row) = tx.row(sql, &params![key_hash]).await? else { return Ok(Idempotent::InProgress) };
        if row.hash("request_hash")? != *request_hash {
            return Ok(Idempotent::OtherRequest);
        }
        Ok(match (row.get::<Option<i64>>("status")?, row.get::<Option<Vec<u8>>>("answer")?) {
            (Some(status), Some(answer)) => {
                Idempotent::Answered { status: u16::try_from(status).map_err(|_| corrupt("status"))?, answer }
            }
            _ => Idempotent::InProgress,
        })
    }

    /// Keeps the answer to a request.
    pub async fn finish_idempotent(&self, key_hash: &[u8; 32], status: u16, answer: &[u8]) -> Result<()> {
        let sql = "UPDATE idempotent_requests SET status = $2, answer = $3 WHERE key_hash = $1";
        self.execute(sql, &params![key_hash, i64::from(status), answer]).await.map(drop)
    }

    /// Forgets a request that failed through no fault of its own: it may be tried again.
    pub async fn forget_idempotent(&self, key_hash: &[u8; 32]) -> Result<()> {
        self.execute("DELETE FROM idempotent_requests WHERE key_hash = $1", &params![key_hash]).await.map(drop)
    }
}
