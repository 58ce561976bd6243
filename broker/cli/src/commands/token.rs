//! `mooring token`: bearer tokens for the HTTP API.

use std::process::ExitCode;

use anyhow::Context as _;
use mooring_store::Store;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{open_store, runtime};
use crate::args::TokenCommand;
use crate::{factory, output};

pub(super) fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            TokenCommand::Create { user, operator, scope, label, expires_in, config } => {
                let (_, store) = open_store(&config).await?;
                let (user, scopes) = if operator {
                    (None, vec!["operator".to_owned()])
                } else {
                    (Some(user_id(&store, user.as_deref().unwrap_or_default()).await?), scope)
                };
                let lifetime = expires_in.map(time::Duration::try_from).transpose().context("--expires-in")?;
                let made = factory::make_token(&store, user, scopes, &label, lifetime).await?;
                // The token alone on the first line: `TOKEN=$(mooring token create ... | head -1)`.
                output::line(&made.token);
                output::line(format_args!("The token is shown this once. To end it: mooring token revoke {}", made.id));
            }
            TokenCommand::Revoke { id, config } => {
                let (_, store) = open_store(&config).await?;
                let now = OffsetDateTime::now_utc();
                store.revoke_token(id, now).await?;
                store
                    .append_audit("operator", "token.revoke", &format!("token:{id}"), &serde_json::json!({}), now)
                    .await?;
                output::line("Revoked.");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn user_id(store: &Store, name: &str) -> anyhow::Result<Uuid> {
    let user = store.user_by_name(name).await?;
    user.map(|user| user.id).with_context(|| format!("no user {name:?}: make one with `mooring user create {name}`"))
}
