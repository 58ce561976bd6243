//! Revocation lists of manufacturers: a device whose manufacturer took its certificate back does not enrol with it.

use time::OffsetDateTime;

use crate::sql::params;
use crate::{Result, Store, StoreError};

/// A list, as its issuer signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManufacturerCrl {
    /// The issuer's name, in DER.
    pub issuer: Vec<u8>,
    /// The same for people.
    pub issuer_name: String,
    /// The list.
    pub der: Vec<u8>,
    /// When the issuer made it.
    pub this_update: OffsetDateTime,
}

impl Store {
    /// Keeps a list in place of the one before of the same issuer.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one as new or newer: an older list would forget what was taken back since.
    pub async fn load_manufacturer_crl(&self, crl: &ManufacturerCrl, now: OffsetDateTime) -> Result<()> {
        let ManufacturerCrl { issuer, issuer_name, der, this_update } = crl;
        let sql = "INSERT INTO manufacturer_crls (issuer, issuer_name, der, this_update, loaded_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (issuer) DO UPDATE \
             SET der = excluded.der, this_update = excluded.this_update, loaded_at = excluded.loaded_at \
             WHERE manufacturer_crls.this_update < excluded.this_update";
        let params = params![issuer.as_slice(), issuer_name, der.as_slice(), *this_update, now];
        match self.execute(sql, &params).await? {
            0 => Err(StoreError::Conflict { what: "a revocation list that is not newer".to_owned() }),
            _ => Ok(()),
        }
    }

    /// What tells whether the lists are those that were read before: the number of them, and when the last was made and loaded.
    pub async fn manufacturer_crls_mark(&self) -> Result<(u64, Option<OffsetDateTime>, Option<OffsetDateTime>)> {
        let sql = "SELECT COUNT(*) AS lists, MAX(this_update) AS made, MAX(loaded_at) AS loaded FROM manufacturer_crls";
        match self.row(sql, &[]).await? {
            Some(row) => Ok((row.count("lists")?, row.time_opt("made")?, row.time_opt("loaded")?)),
            None => Ok((0, None, None)),
        }
    }

    /// Every list.
    pub async fn manufacturer_crls(&self) -> Result<Vec<ManufacturerCrl>> {
        let rows = self.rows("SELECT * FROM manufacturer_crls ORDER BY issuer_name, issuer", &[]).await?;
        let crl = |row: &crate::sql::Row| {
            Ok(ManufacturerCrl {
                issuer: row.get("issuer")?,
                issuer_name: row.get("issuer_name")?,
                der: row.get("der")?,
                this_update: row.time("this_update")?,
            })
        };
        rows.iter().map(crl).collect()
    }
}
