//! What headquarters let a station make: a batch's model, number and time.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::check_name;

/// A batch, as a station knows it. It is not signed: headquarters keep quota and end themselves when they take a log over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchOrder {
    /// What the batch is called.
    pub(crate) name: String,
    /// What its devices are.
    pub(crate) model: String,
    /// How many there may be, of all stations.
    pub(crate) quota: u64,
    /// Until when they are made.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) until: OffsetDateTime,
    /// How long an enrolment secret can be used, days.
    pub(crate) enrolment_days: u32,
}

impl BatchOrder {
    /// Reads the file that `mooring batch order` wrote.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let order: Self =
            serde_json::from_str(&text).with_context(|| format!("{}: no order of a batch", path.display()))?;
        check_name("a batch", &order.name)?;
        Ok(order)
    }

    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub(crate) fn secret_lifetime(&self) -> Duration {
        Duration::days(i64::from(self.enrolment_days))
    }

    /// Whether so many more may be made now.
    pub(super) fn check(&self, made: u64, count: u32, now: OffsetDateTime) -> anyhow::Result<()> {
        if self.until <= now {
            bail!("batch {:?} ended at {}", self.name, self.until);
        }
        if made.saturating_add(u64::from(count)) > self.quota {
            bail!(
                "batch {:?} has a quota of {} devices, and this station has made {made}: {count} more would overrun it",
                self.name,
                self.quota
            );
        }
        Ok(())
    }
}
