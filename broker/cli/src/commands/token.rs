//! `mooring token`: bearer tokens for the HTTP API.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{runtime, user};
use crate::args::{OperatorArgs, TokenCommand};
use crate::https::HttpClient;
use crate::operator::{OperatorApi, text};
use crate::output;

pub(super) fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            TokenCommand::Create { user, operator, scope, label, expires_in, config } => {
                let api = OperatorApi::open(&config).await?;
                let now = OffsetDateTime::now_utc();
                let end = expires_in.map(|lifetime| now.checked_add(time::Duration::try_from(lifetime).ok()?));
                let end = end.map(|end| end.context("--expires-in is too long")).transpose()?;
                let expires_at = end.map(|end| end.format(&Rfc3339)).transpose().context("--expires-in")?;
                let wish = if operator {
                    json!({"operator": true, "label": label, "expires_at": expires_at})
                } else {
                    let user = user_id(&api, user.as_deref().unwrap_or_default()).await?;
                    json!({"user": user, "scopes": scope, "label": label, "expires_at": expires_at})
                };
                let made = api.post("/v1/operator/tokens", &wish).await?;
                // The token alone on the first line: `TOKEN=$(mooring token create ... | head -1)`.
                output::line(text(&made, "token"));
                let id = text(&made, "id");
                output::line(format_args!("The token is shown this once. To end it: mooring token revoke {id}"));
            }
            TokenCommand::Revoke { id, admin, config } => revoke(id, admin.as_deref(), &config).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn revoke(id: Uuid, admin: Option<&str>, config: &OperatorArgs) -> anyhow::Result<()> {
    let (answer, is_server) = match admin {
        Some(admin) if config.server.is_none() => {
            let path = format!("/admin/tokens/{id}/revocation");
            (HttpClient::plain(admin).post(&path, &json!({})).await?.expect_success()?, true)
        }
        _ => {
            let api = OperatorApi::open(config).await?;
            (api.delete(&format!("/v1/operator/tokens/{id}")).await?, api.is_server())
        }
    };
    if is_server {
        let ended = answer.get("connections_closed").and_then(Value::as_u64).unwrap_or_default();
        output::line(format_args!("Revoked. {ended} connections closed."));
    } else {
        output::line("Revoked. No server runs.");
    }
    Ok(())
}

async fn user_id(api: &OperatorApi, name: &str) -> anyhow::Result<Uuid> {
    let found = user::find(api, name).await?;
    found.with_context(|| format!("no user {name:?}: make one with `mooring user create {name}`"))
}
