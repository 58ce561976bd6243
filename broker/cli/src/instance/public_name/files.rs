//! The public certificate from files that another program keeps.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustls::sign::CertifiedKey;

use super::{PublicName, certified};

/// How often the files are looked at: renewals come days before the end.
const WATCH_PERIOD: Duration = Duration::from_secs(10);

/// Reads a chain and its key.
pub(super) fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    parse(certificate, key, &contents(certificate, key)?)
}

/// Shows what the files hold whenever they hold something new and whole. They are read whole each time: a program that replaces them may keep
/// their times, or change a link.
pub(super) async fn watch(public: &PublicName, certificate: &Path, key: &Path) {
    let mut known = contents(certificate, key).ok();
    loop {
        tokio::time::sleep(WATCH_PERIOD).await;
        let found = contents(certificate, key);
        if found.as_ref().ok() == known.as_ref() {
            continue;
        }
        // Between the writes of the two files they do not fit; the next look finds them both.
        match found.and_then(|found| Ok((parse(certificate, key, &found)?, found))) {
            Ok((certified, found)) => {
                public.show(certified);
                known = Some(found);
                tracing::info!(file = %certificate.display(), "the public certificate is new");
            }
            Err(error) => tracing::error!("the public certificate stays as it was: {error:#}"),
        }
    }
}

fn parse(certificate: &Path, key: &Path, (chain, key_pem): &(Vec<u8>, Vec<u8>)) -> anyhow::Result<CertifiedKey> {
    certified(chain, key_pem).with_context(|| format!("{} with {}", certificate.display(), key.display()))
}

fn contents(certificate: &Path, key: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("{}", path.display()));
    Ok((read(certificate)?, read(key)?))
}
