//! `mooring ca`: the certificate authority.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_api::Target;
use mooring_certs::rotate::{AuthorityFiles, KeyStatus, Rotation};
use mooring_certs::{CaOptions, CaRole, TrustDomain};
use time::OffsetDateTime;

use super::revocation::{self, Wish};
use super::{load_config, runtime};
use crate::args::{CaCommand, ConfigArgs, Intermediate, RevocationTarget};
use crate::data_dir::DataDir;
use crate::instance::{key_store, open_authority};
use crate::output;

/// The variable that names the file with the passphrase of the authority's keys.
pub(super) const PASSPHRASE_FILE: &str = "MOORING_CA_PASSPHRASE_FILE";

pub(super) fn run(command: CaCommand) -> anyhow::Result<ExitCode> {
    match command {
        CaCommand::Init { external: false, config } => init(&config)?,
        CaCommand::Init { external: true, config } => init_external(&config)?,
        CaCommand::ImportChain { files, config } => import_chains(&files, &config)?,
        CaCommand::Status(config) => status(&config)?,
        CaCommand::RotateIntermediate { which, config } => rotate(which, &config)?,
        CaCommand::Encrypt(config) => encrypt(&config)?,
        CaCommand::Export { root_key, remove, config } => {
            files(&config)?.export_root_key(&root_key, remove)?;
            let gone = if remove { "It is no longer here: keep that file safe." } else { "It is still here, too." };
            output::line(format_args!("The root's key is in {}. {gone}", root_key.display()));
        }
        CaCommand::Import { root_key, config } => {
            files(&config)?.import_root_key(&root_key)?;
            output::line("The root's key is back.");
        }
        CaCommand::Trust(command) => return super::trust::run(command),
        CaCommand::Revoke { what, reason, how, config } => {
            let wish = Wish { target: target(&what)?, reason, how: &how };
            runtime()?.block_on(revocation::run(&wish, &config))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn init(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load_config(args)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let (_, is_new) = open_authority(&data_dir, &config)?;
    let authority = data_dir.authority();
    output::line(format_args!("{} {}", if is_new { "Made" } else { "There already:" }, authority.display()));
    Ok(())
}

fn init_external(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load_config(args)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let directory = data_dir.authority();
    let keys = key_store(&directory, &config)?;
    let options = CaOptions {
        trust_domain: TrustDomain::parse(&config.server.trust_domain).context("server.trust_domain")?,
        organisation: config.server.organisation.clone(),
        now: OffsetDateTime::now_utc(),
    };
    for file in AuthorityFiles::new(&directory, keys).init_external(&options)? {
        output::line(file.display());
    }
    output::line(
        "Have these requests signed as authorities (CA:TRUE, keyCertSign, cRLSign), then: mooring ca import-chain FILE...",
    );
    Ok(())
}

fn import_chains(chains: &[PathBuf], args: &ConfigArgs) -> anyhow::Result<()> {
    let files = files(args)?;
    for file in chains {
        let context = || format!("{}", file.display());
        let text = std::fs::read_to_string(file).with_context(context)?;
        let imported = files.import_chain(&text, OffsetDateTime::now_utc()).with_context(context)?;
        output::line(format_args!("{}: the chain of the intermediate {}.", file.display(), imported.name));
        if imported.missing.is_empty() {
            output::line("The authority is whole. A running server signs with it after SIGHUP.");
        } else {
            let missing: Vec<&str> = imported.missing.iter().map(|role| role.name()).collect();
            output::line(format_args!("Still missing: {}.", missing.join(", ")));
        }
    }
    Ok(())
}

fn status(args: &ConfigArgs) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["certificate", "signs", "key id", "valid until", "key"]);
    for file in files(args)?.status()? {
        let signs = match (file.role, file.is_current) {
            (CaRole::Root, _) => "intermediates",
            (_, true) => "yes",
            (_, false) => "no more; trusted until it ends",
        };
        let key = match file.key {
            KeyStatus::Away => "not here",
            KeyStatus::Plain => "not encrypted",
            KeyStatus::Encrypted => "encrypted",
        };
        let until = file.not_after.date().to_string();
        table.add_row([file.name, signs.to_owned(), file.key_id.to_string(), until, key.to_owned()]);
    }
    output::line(table);
    Ok(())
}

fn rotate(which: Intermediate, args: &ConfigArgs) -> anyhow::Result<()> {
    let role = match which {
        Intermediate::Devices => CaRole::Devices,
        Intermediate::Clients => CaRole::Clients,
        Intermediate::Servers => CaRole::Servers,
    };
    match files(args)?.rotate(role, OffsetDateTime::now_utc())? {
        Rotation::Signed(key_id) => {
            output::line(format_args!(
                "The intermediate {role} has a successor with the key {key_id}: send the server SIGHUP to sign with it."
            ));
            output::line("Certificates from before stay good until they end.");
        }
        Rotation::Request(file) => {
            output::line(format_args!(
                "Have {} signed, and bring the chain by `mooring ca import-chain`.",
                file.display()
            ));
        }
    }
    Ok(())
}

fn encrypt(args: &ConfigArgs) -> anyhow::Result<()> {
    let encrypted = files(args)?.encrypt()?;
    if encrypted.is_empty() {
        output::line("Every key is encrypted already.");
    } else {
        output::line(format_args!("Encrypted: {}.", encrypted.join(", ")));
    }
    Ok(())
}

fn files(args: &ConfigArgs) -> anyhow::Result<AuthorityFiles> {
    let config = load_config(args)?;
    let directory = config.data_dir.join("ca");
    let keys = key_store(&directory, &config)?;
    Ok(AuthorityFiles::new(&directory, keys))
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
