//! `mooring ca`: the certificate authority.

use std::process::ExitCode;

use anyhow::Context as _;
use mooring_api::Target;

use super::revocation::{self, Wish};
use super::runtime;
use crate::args::{CaCommand, RevocationTarget};

pub(super) fn run(command: CaCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            CaCommand::Revoke { what, reason, how, config } => {
                revocation::run(&Wish { target: target(&what)?, reason, how: &how }, &config).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn target(what: &RevocationTarget) -> anyhow::Result<Target> {
    match (&what.serial, what.device) {
        (Some(serial), _) => {
            let serial = serial.trim().trim_start_matches("serial=").replace(':', "");
            Ok(Target::Certificate(serial.parse().context("--serial")?))
        }
        (None, Some(device)) => Ok(Target::CertificatesOfDevice(device)),
        (None, None) => anyhow::bail!("name a certificate with --serial, or a device with --device"),
    }
}
