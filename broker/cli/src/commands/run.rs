//! `mooring run`: the server.

use std::process::ExitCode;

use anyhow::bail;

use crate::args::ConfigArgs;
use crate::commands::{load_config, runtime, start_logging, start_metrics};
use crate::instance::Instance;
use crate::signals::{EndSignals, ReloadSignals};
use crate::{config::Config, output};

/// Runs the server until SIGTERM or Ctrl-C.
pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(args)?;
    start_logging(&config.telemetry)?;
    let metrics = start_metrics()?;
    runtime()?.block_on(async {
        let mut signals = EndSignals::listen()?;
        let mut reloads = ReloadSignals::listen()?;
        let instance = Instance::start(&config, metrics).await?;
        introduce(&instance, &config);
        let failure = loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal, "shutting down");
                    break None;
                }
                () = reloads.next() => reload(&instance, args),
                why = instance.failed() => break Some(why),
            }
        };
        instance.stop().await;
        match failure {
            None => Ok(ExitCode::SUCCESS),
            Some(why) => bail!("the broker has stopped: {why}"),
        }
    })
}

/// A mistake in the new settings leaves the old ones in force.
fn reload(instance: &Instance, args: &ConfigArgs) {
    match load_config(args).and_then(|config| instance.reload(&config)) {
        Ok(()) => {
            tracing::info!("limits, rules, users and the server's certificate are new; other settings need a restart");
        }
        Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
    }
}

/// Says what is there, where, and what to do next.
fn introduce(instance: &Instance, config: &Config) {
    let data_dir = instance.data_dir();
    let addresses = instance.addresses();
    if instance.is_new() {
        output::line(format_args!("Made in {}:", data_dir.path().display()));
        output::line(
            "  ca/          a certificate authority: root, and intermediates for devices, clients and servers; keep ca/root.key safe",
        );
        output::line("  ca.pem       its root certificate: give it to devices and tools");
        if config.database_url.is_none() {
            output::line("  mooring.db   the database (SQLite)");
        }
        output::line("  log/         the broker's log: sessions, queues, retained messages, events on their way");
    } else {
        output::line(format_args!("Data in {}", data_dir.path().display()));
    }
    for (name, address) in &addresses.mqtt {
        output::line(format_args!("MQTT   {address} ({name})"));
    }
    for listener in &config.listeners {
        if let Some(path) = &listener.path {
            output::line(format_args!("MQTT   {} ({})", path.display(), listener.name));
        }
    }
    output::line(format_args!("HTTPS  {} (API, certificate signing, MQTT over WebSocket at /mqtt)", addresses.http));
    if let Some(status) = addresses.status {
        output::line(format_args!("Status http://{status} (certificate revocation lists, OCSP)"));
    }
    output::line(format_args!("Admin  http://{} (metrics, health, `mooring ctl`)", addresses.admin));
    output::line("Ready.");
    if instance.is_new() {
        output::line(format_args!(
            "Next: mooring device create --model washer --data-dir {}",
            data_dir.path().display()
        ));
    }
}
