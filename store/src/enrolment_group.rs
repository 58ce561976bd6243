//! Enrolments that come at the same time are written together: one transaction, one wait for the disk, and one turn at the audit log, which only
//! one transaction at a time can extend.
//!
//! Whoever comes while a group is being written waits for the next. What concerns one enrolment alone, such as a secret that was used, refuses that
//! one; where the database refuses the group, each of it is written by itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::audit::{NewAudit, append};
use crate::certificates::insert_certificates;
use crate::enrolment::{SECRET_AND_DEVICE, check_secret};
use crate::sql::{Param, Row, placeholders};
use crate::tx::Tx;
use crate::{EnrolError, NewCertificate, Result, Store, StoreError};

/// The most enrolments in one transaction: what their certificates bind stays far below the limits of both databases.
const GROUP_MAX: usize = 32;

/// A device that trades its secret for this certificate.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(crate) device: Uuid,
    pub(crate) secret_hash: [u8; 32],
    pub(crate) now: OffsetDateTime,
    pub(crate) certificate: NewCertificate,
}

/// Those who wait to be written.
#[derive(Debug, Default)]
pub(crate) struct EnrolmentQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    is_written: bool,
}

#[derive(Debug)]
struct Waiting {
    enrolment: Enrolment,
    answer: oneshot::Sender<Result<(), EnrolError>>,
}

impl EnrolmentQueue {
    /// Each change is whole before the lock is free: a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True for the caller who has to see to it that the queue is written.
    fn push(&self, waiting: Waiting) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        !std::mem::replace(&mut state.is_written, true)
    }

    /// The next group; none, and nobody writes any more, when the queue is empty. Its size is a power of two, so that a connection has to know
    /// few different statements.
    fn next_group(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        match state.waiting.len().min(GROUP_MAX).checked_ilog2() {
            Some(log2) => state.waiting.drain(..1 << log2).collect(),
            None => {
                state.is_written = false;
                Vec::new()
            }
        }
    }
}

/// Lets the next writer begin, and those who wait know, when this one ends before the queue is empty: by a panic, or with its runtime.
struct Writer {
    queue: Arc<EnrolmentQueue>,
    has_ended: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut state = self.queue.lock();
            state.is_written = false;
            state.waiting.clear();
        }
    }
}

impl Store {
    /// Writes it, with others that wait. A caller that gives up changes nothing: what is begun is finished.
    pub(crate) async fn enrol_with_others(&self, enrolment: Enrolment) -> Result<(), EnrolError> {
        let (answer, answered) = oneshot::channel();
        if self.enrolments.push(Waiting { enrolment, answer }) {
            let store = self.clone();
            tokio::spawn(async move { store.write_enrolments().await });
        }
        let ended = |_| Err(StoreError::Internal { reason: "the writer of enrolments ended".to_owned() }.into());
        answered.await.unwrap_or_else(ended)
    }

    async fn write_enrolments(&self) {
        let mut writer = Writer { queue: Arc::clone(&self.enrolments), has_ended: false };
        loop {
            let group = self.enrolments.next_group();
            if group.is_empty() {
                writer.has_ended = true;
                return;
            }
            let (enrolments, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|waiting| (waiting.enrolment, waiting.answer)).unzip();
            for (answer, result) in answers.into_iter().zip(self.write_group(&enrolments).await) {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(result);
            }
        }
    }

    /// The answer to each, in order.
    async fn write_group(&self, group: &[Enrolment]) -> Vec<Result<(), EnrolError>> {
        match self.enrol_together(group).await {
            Ok(answers) => answers,
            // One after the other would wait as long as this did, for each.
            Err(StoreError::Unavailable { reason }) => {
                let unavailable = || Err(StoreError::Unavailable { reason: reason.clone() }.into());
                group.iter().map(|_| unavailable()).collect()
            }
            Err(error) if group.len() == 1 => vec![Err(error.into())],
            Err(_) => {
                let mut answers = Vec::with_capacity(group.len());
                for one in group {
                    let alone = self.enrol_together(std::slice::from_ref(one)).await;
                    answers.push(alone.map_err(EnrolError::from).and_then(|mut answer| answer.pop().unwrap_or(Ok(()))));
                }
                answers
            }
        }
    }

    /// Uses up the secrets and records the certificates of those whose secrets are good, in one transaction.
    async fn enrol_together(&self, group: &[Enrolment]) -> Result<Vec<Result<(), EnrolError>>> {
        let mut tx = self.begin().await?;
        let secrets = lock_secrets(&mut tx, group).await?;
        let mut used = HashSet::new();
        let check = |enrolment: &Enrolment| {
            check_secret(secrets.get(&enrolment.secret_hash), enrolment.device, enrolment.now)?;
            if used.insert(enrolment.secret_hash) { Ok(()) } else { Err(EnrolError::Used) }
        };
        let answers: Vec<Result<(), EnrolError>> = group.iter().map(check).collect();
        let accepted: Vec<&Enrolment> =
            group.iter().zip(&answers).filter_map(|(enrolment, answer)| answer.is_ok().then_some(enrolment)).collect();
        if let Some(now) = accepted.iter().map(|enrolment| enrolment.now).max() {
            write(&mut tx, &accepted, now).await?;
            tx.commit().await?;
        }
        Ok(answers)
    }
}

/// The rows of the secrets and their devices, locked until the commit: a second call with one of them waits here, and then sees it used. In the
/// order of the secrets, so that two nodes do not wait for each other.
async fn lock_secrets(tx: &mut Tx, group: &[Enrolment]) -> Result<HashMap<[u8; 32], Row>> {
    let hashes: Vec<Param<'_>> = group.iter().map(|enrolment| Param::from(&enrolment.secret_hash)).collect();
    let (list, lock) = (placeholders(1, hashes.len()), tx.for_update());
    let sql = format!("{SECRET_AND_DEVICE} WHERE secrets.hash IN ({list}) ORDER BY secrets.hash{lock}");
    let rows = tx.rows(AssertSqlSafe(sql), &hashes).await?;
    rows.into_iter().map(|row| Ok((row.hash("hash")?, row))).collect()
}

async fn write(tx: &mut Tx, accepted: &[&Enrolment], now: OffsetDateTime) -> Result<()> {
    let list = placeholders(2, accepted.len());
    let with_now = |each: fn(&Enrolment) -> Param<'_>| -> Vec<Param<'_>> {
        std::iter::once(Param::from(now)).chain(accepted.iter().map(|enrolment| each(enrolment))).collect()
    };
    let sql = format!("UPDATE enrolment_secrets SET used_at = $1 WHERE used_at IS NULL AND hash IN ({list})");
    let used = tx.execute(AssertSqlSafe(sql), &with_now(|enrolment| Param::from(&enrolment.secret_hash))).await?;
    if used != u64::try_from(accepted.len()).unwrap_or(u64::MAX) {
        return Err(StoreError::Internal { reason: format!("{used} of {} secrets could be used", accepted.len()) });
    }
    let sql = format!("UPDATE devices SET enrolled_at = COALESCE(enrolled_at, $1) WHERE id IN ({list})");
    tx.execute(AssertSqlSafe(sql), &with_now(|enrolment| Param::from(enrolment.device))).await?;
    let certificates: Vec<&NewCertificate> = accepted.iter().map(|enrolment| &enrolment.certificate).collect();
    insert_certificates(tx, &certificates, now).await?;
    let issued = |enrolment: &&Enrolment| {
        NewAudit::of_certificate(&format!("device:{}", enrolment.device), "certificate.issue", &enrolment.certificate)
    };
    append(tx, &accepted.iter().map(issued).collect::<Vec<_>>(), now).await.map(drop)
}
