//! `mooring user`: accounts.

use std::process::ExitCode;

use super::{open_store, runtime};
use crate::args::UserCommand;
use crate::{factory, output};

pub(super) fn run(command: UserCommand) -> anyhow::Result<ExitCode> {
    let UserCommand::Create { name, config } = command;
    runtime()?.block_on(async {
        let (_, store) = open_store(&config).await?;
        let user = factory::make_user(&store, &name).await?;
        output::line(user.id);
        Ok(ExitCode::SUCCESS)
    })
}
