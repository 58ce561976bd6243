//! Renewal after the end: a device that slept past the end of its certificate.

use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::audit::{NewAudit, append};
use crate::certificates::{certificate as certificate_of, insert_certificate};
use crate::enrolment::check_in_service;
use crate::sql::{Row, params};
use crate::{CertificateHolder, NewCertificate, RenewError, Result, Store, StoreError};

/// How long after its end a certificate can be renewed, and who has to say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// How long.
    pub time: Duration,
    /// Whether the owner, or for a device without one an operator, has to confirm it.
    pub needs_confirmation: bool,
}

/// A device that asked for a new certificate after the end of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateRenewal {
    /// Which.
    pub device: Uuid,
    /// The certificate that ended.
    pub serial: String,
    /// When it asked last.
    pub asked_at: OffsetDateTime,
    /// When and by whom it was confirmed.
    pub confirmed: Option<(OffsetDateTime, String)>,
}

impl Store {
    /// Records the certificate that follows on one of the same device that has ended, when that was not long ago, none newer is in force, and,
    /// where that is asked for, somebody has confirmed it. Where nobody has yet, it is noted that the device asks.
    pub async fn renew_late(
        &self,
        ended_serial: &str,
        grace: Grace,
        now: OffsetDateTime,
        certificate: &NewCertificate,
    ) -> Result<(), RenewError> {
        let CertificateHolder::Device(device) = certificate.holder else { return Err(RenewError::Expired) };
        let mut tx = self.begin().await?;
        // The device before its certificates, as a retirement does.
        match check_in_service(&mut tx, device).await? {
            None => return Err(RenewError::Unknown),
            Some(false) => return Err(RenewError::Retired),
            Some(true) => {}
        }
        let sql = format!("SELECT * FROM certificates WHERE serial = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![ended_serial]).await?.ok_or(RenewError::Unknown)?;
        let ended = certificate_of(&row)?;
        if ended.holder != certificate.holder {
            return Err(RenewError::Unknown);
        }
        if ended.revoked.is_some() {
            return Err(RenewError::Revoked);
        }
        if now - ended.not_after > grace.time {
            return Err(RenewError::Expired);
        }
        // Whoever has an old key of a device that has renewed since has no business here.
        let sql = "SELECT 1 AS newer FROM certificates WHERE holder_kind = 'device' AND holder = $1 AND issued_at > $2 \
             AND revoked_at IS NULL AND not_after > $3 LIMIT 1";
        if tx.row(sql, &params![&device.to_string(), ended.issued_at, now]).await?.is_some() {
            return Err(RenewError::Superseded);
        }
        if grace.needs_confirmation {
            let sql = "DELETE FROM late_renewals WHERE device_id = $1 AND serial = $2 AND confirmed_at IS NOT NULL";
            if tx.execute(sql, &params![device, ended_serial]).await? == 0 {
                let sql = "INSERT INTO late_renewals (device_id, serial, asked_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (device_id) DO UPDATE SET serial = excluded.serial, asked_at = excluded.asked_at, \
                     confirmed_at = NULL, confirmed_by = NULL";
                tx.execute(sql, &params![device, ended_serial, now]).await?;
                tx.commit().await?;
                return Err(RenewError::NotConfirmed);
            }
        }
        insert_certificate(&mut tx, certificate, now).await?;
        let renewed = NewAudit::of_certificate(&certificate.holder.to_string(), "certificate.renew-late", certificate);
        append(&mut tx, &[renewed], now).await?;
        Ok(tx.commit().await?)
    }

    /// What a device asks for, when it does.
    pub async fn late_renewal(&self, device: Uuid) -> Result<Option<LateRenewal>> {
        let sql = "SELECT * FROM late_renewals WHERE device_id = $1";
        self.row(sql, &params![device]).await?.as_ref().map(late_renewal).transpose()
    }

    /// Says yes to it, for one renewal.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the device asks for nothing.
    pub async fn confirm_late_renewal(&self, device: Uuid, by: &str, now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE late_renewals SET confirmed_at = $2, confirmed_by = $3 WHERE device_id = $1";
        match self.execute(sql, &params![device, now, by]).await? {
            0 => Err(StoreError::NotFound { what: "late renewal" }),
            _ => Ok(()),
        }
    }
}

fn late_renewal(row: &Row) -> Result<LateRenewal> {
    let confirmed = match row.time_opt("confirmed_at")? {
        Some(at) => Some((at, row.get("confirmed_by")?)),
        None => None,
    };
    Ok(LateRenewal {
        device: row.get("device_id")?,
        serial: row.get("serial")?,
        asked_at: row.time("asked_at")?,
        confirmed,
    })
}
