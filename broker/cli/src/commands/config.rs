//! `mooring config`: settings, explained and checked.

use std::process::ExitCode;

use super::load_config;
use crate::args::ConfigCommand;
use crate::{config, output};

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check(args) => {
            load_config(&args)?;
            output::line("The configuration is usable.");
        }
        ConfigCommand::Example => output::text(&config::example()),
    }
    Ok(ExitCode::SUCCESS)
}
