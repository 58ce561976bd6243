//! What is revoked, for others: lists and OCSP answers. Our own listeners ask a live set instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_certs::{
    CertId, CertStatus, Crl, CrlEntry, KeyId, LiveAuthority, OcspFailure, OcspRequest, OcspResponder, RevocationReason,
    Validity,
};
use mooring_store::{Store, StoreError};
use time::{Duration, OffsetDateTime};

use crate::{Problem, Revoker};

/// Makes lists and OCSP answers. Cheap to clone.
#[derive(Clone)]
pub struct StatusDesk(Arc<Desk>);

struct Desk {
    store: Store,
    authority: LiveAuthority,
    revoker: Revoker,
    lists: Mutex<HashMap<KeyId, List>>,
    responders: Mutex<HashMap<KeyId, Arc<OcspResponder>>>,
}

/// A list, and of what it was made.
#[derive(Clone)]
struct List {
    crl: Arc<Crl>,
    revision: u64,
    made_at: OffsetDateTime,
}

/// How long a list may be relied on.
const LIST_LIFETIME: Duration = Duration::hours(24);
/// A list is made again after this time at the latest: other processes revoke, too.
const LIST_AGE_MAX: Duration = Duration::seconds(30);
/// How long an OCSP answer may be relied on.
const ANSWER_LIFETIME: Duration = Duration::minutes(10);
/// How long the certificate of a responder is valid; a new one is made when half of it is over.
const RESPONDER_LIFETIME: Duration = Duration::days(7);

impl StatusDesk {
    /// What `store` has on record of the certificates of `authority`.
    #[must_use]
    pub fn new(store: Store, authority: LiveAuthority, revoker: Revoker) -> Self {
        let (lists, responders) = Default::default();
        Self(Arc::new(Desk { store, authority, revoker, lists, responders }))
    }

    /// The list of one of our intermediates: made again after each revocation.
    pub(crate) async fn list(&self, issuer: KeyId) -> Result<Arc<Crl>, Problem> {
        let desk = &*self.0;
        let (revision, now) = (desk.revoker.revision(), OffsetDateTime::now_utc());
        let current = lock(&desk.lists).get(&issuer).cloned();
        if let Some(list) = current.filter(|list| list.revision == revision && now - list.made_at < LIST_AGE_MAX) {
            return Ok(list.crl);
        }
        let rows = desk.store.revoked_serials(now).await?;
        let issuer_text = issuer.to_string();
        let entries: Vec<CrlEntry> = rows
            .into_iter()
            .filter(|row| row.issuer == issuer_text)
            .filter_map(|row| {
                let serial = row.serial.parse().ok()?;
                Some(CrlEntry { serial, revoked_at: row.revoked_at, reason: reason(row.reason) })
            })
            .collect();
        let crl = desk
            .authority
            .current()
            .crl(issuer, &entries, now, now + LIST_LIFETIME)
            .map_err(|error| internal(&error))?;
        let crl = Arc::new(crl);
        lock(&desk.lists).insert(issuer, List { crl: Arc::clone(&crl), revision, made_at: now });
        Ok(crl)
    }

    /// The answer to an OCSP request, both in DER.
    pub(crate) async fn answer(&self, request: &[u8]) -> Result<Vec<u8>, OcspFailure> {
        let request = OcspRequest::parse(request).map_err(|_| OcspFailure::MalformedRequest)?;
        let now = OffsetDateTime::now_utc();
        let authority = self.0.authority.current();
        let issuers = request.certificates.iter().map(|certificate| authority.ocsp_issuer(certificate));
        // One answer has one signature: it is by the issuer of the first certificate that is one of ours.
        let issuer = issuers.flatten().next().ok_or(OcspFailure::Unauthorized)?;
        let mut statuses = Vec::with_capacity(request.certificates.len());
        for certificate in &request.certificates {
            let known = if authority.ocsp_issuer(certificate) == Some(issuer) {
                self.status(issuer, certificate).await.map_err(|error| {
                    tracing::warn!(%error, "an OCSP request could not be answered");
                    OcspFailure::TryLater
                })?
            } else {
                CertStatus::Unknown
            };
            statuses.push(known);
        }
        let answer = self
            .responder(issuer, now)
            .and_then(|responder| responder.respond(&request, &statuses, now, now + ANSWER_LIFETIME));
        answer.map_err(|error| {
            tracing::error!(%error, "an OCSP answer could not be signed");
            OcspFailure::InternalError
        })
    }

    async fn status(&self, issuer: KeyId, certificate: &CertId) -> Result<CertStatus, StoreError> {
        let Some(serial) = certificate.serial else { return Ok(CertStatus::Unknown) };
        let row = self.0.store.certificate(&serial.to_string()).await?;
        Ok(match row {
            Some(row) if row.issuer == issuer.to_string() => match row.revoked {
                Some((at, why)) => CertStatus::Revoked { at, reason: reason(why) },
                None => CertStatus::Good,
            },
            Some(_) | None => CertStatus::Unknown,
        })
    }

    fn responder(&self, issuer: KeyId, now: OffsetDateTime) -> mooring_certs::Result<Arc<OcspResponder>> {
        let mut responders = lock(&self.0.responders);
        if let Some(current) = responders.get(&issuer)
            && now + RESPONDER_LIFETIME / 2 < current.not_after()
        {
            return Ok(Arc::clone(current));
        }
        let made =
            Arc::new(self.0.authority.current().ocsp_responder(issuer, &Validity::new(now, RESPONDER_LIFETIME))?);
        responders.insert(issuer, Arc::clone(&made));
        Ok(made)
    }
}

/// Each change of these maps is one call: a panic elsewhere leaves them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reason(reason: mooring_store::RevocationReason) -> RevocationReason {
    RevocationReason::from_code(reason.code()).unwrap_or(RevocationReason::Unspecified)
}

fn internal(error: &mooring_certs::Error) -> Problem {
    tracing::error!(%error, "a certificate revocation list could not be signed");
    Problem::internal("The list could not be signed; the server's log says why.")
}
