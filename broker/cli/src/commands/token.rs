//! `mooring token`: bearer tokens for the HTTP API.

use std::process::ExitCode;

use anyhow::Context as _;
use mooring_store::Store;
use serde_json::Value;
use uuid::Uuid;

use super::revocation::Server;
use super::{open_store, runtime};
use crate::args::{ConfigArgs, TokenCommand};
use crate::https::HttpClient;
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
            TokenCommand::Revoke { id, admin, config } => revoke(id, admin.as_deref(), &config).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn revoke(id: Uuid, admin: Option<&str>, config: &ConfigArgs) -> anyhow::Result<()> {
    match Server::find(admin, config)? {
        Server::Running { admin } => {
            let path = format!("/admin/tokens/{id}/revocation");
            match HttpClient::plain(&admin).post(&path, &serde_json::json!({})).await {
                Ok(answer) => {
                    let answer = answer.expect_success()?;
                    let ended = answer.get("connections_closed").and_then(Value::as_u64).unwrap_or_default();
                    output::line(format_args!("Revoked. {ended} connections closed."));
                }
                Err(_) => {
                    record_end(id, config).await?;
                    output::line(format_args!(
                        "Revoked. The server does not answer at {admin} (name it with --admin): it ends the token's connections once it sees the database, in seconds."
                    ));
                }
            }
        }
        Server::Stopped { .. } => {
            record_end(id, config).await?;
            output::line("Revoked. No server runs.");
        }
    }
    Ok(())
}

async fn record_end(id: Uuid, config: &ConfigArgs) -> anyhow::Result<()> {
    let (_, store) = open_store(config).await?;
    mooring_api::revoke_token(&store, None, id, "operator").await?;
    Ok(())
}

async fn user_id(store: &Store, name: &str) -> anyhow::Result<Uuid> {
    let user = store.user_by_name(name).await?;
    user.map(|user| user.id).with_context(|| format!("no user {name:?}: make one with `mooring user create {name}`"))
}
