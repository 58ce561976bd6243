//! `mooring db`: the database's schema and roles.

use std::process::ExitCode;

use serde_json::json;
use time::OffsetDateTime;

use super::{open_store_as_owner, runtime};
use crate::args::DbCommand;
use crate::output;

pub(super) fn run(command: DbCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            DbCommand::Migrate(config) => {
                // Opening it brings the schema up to this version.
                open_store_as_owner(&config).await?;
                output::line("The schema is that of this version.");
            }
            DbCommand::Roles { prefix, config } => {
                let (_, store) = open_store_as_owner(&config).await?;
                let roles = store.make_roles(&prefix).await?;
                let now = OffsetDateTime::now_utc();
                store.append_audit("operator", "database.roles", "database", &json!({"roles": roles}), now).await?;
                for role in roles {
                    output::line(role);
                }
                output::line(format_args!(
                    "Give {prefix}_serve a password, and the server its URL (database.url). The owner migrates: mooring db migrate, then mooring db roles, after each upgrade."
                ));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
