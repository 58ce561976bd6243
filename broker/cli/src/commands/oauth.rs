//! `mooring oauth client`: programs that ask people for access.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_oauth::GRANT_TYPES;
use serde_json::{Value, json};

use super::runtime;
use crate::args::{CreateClient, OauthClientCommand, OauthCommand};
use crate::operator::{OperatorApi, encoded, has, text};
use crate::output;

const CLIENTS: &str = "/v1/operator/oauth-clients";

pub(super) fn run(command: OauthCommand) -> anyhow::Result<ExitCode> {
    let OauthCommand::Client(command) = command;
    runtime()?.block_on(async {
        match command {
            OauthClientCommand::Create(wish) => create(*wish).await?,
            OauthClientCommand::List { json, config } => list(&OperatorApi::open(&config).await?, json).await?,
            OauthClientCommand::Remove { id, config } => {
                OperatorApi::open(&config).await?.delete(&format!("{CLIENTS}/{}", encoded(&id))).await?;
                output::line("Removed. What people have let it have ends within a second.");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(wish: CreateClient) -> anyhow::Result<()> {
    let made = OperatorApi::open(&wish.config).await?.post(CLIENTS, &request(&wish)).await?;
    let secret = made.get("client_secret").and_then(Value::as_str);
    if wish.json {
        output::line(json!({"client_id": made.get("client_id"), "client_secret": secret}));
        return Ok(());
    }
    output::line(format_args!("client_id      {}", text(&made, "client_id")));
    if let Some(secret) = secret {
        output::line(format_args!("client_secret  {secret}"));
        output::line("The secret is shown this once: only its hash is kept.");
    }
    Ok(())
}

fn request(wish: &CreateClient) -> Value {
    let [code, refresh, credentials, device] = GRANT_TYPES;
    let grant_types = match (wish.service, wish.device_code, wish.redirect_uris.is_empty()) {
        (true, _, _) => vec![credentials],
        (false, true, true) => vec![device, refresh],
        (false, true, false) => vec![code, refresh, device],
        (false, false, _) => vec![code, refresh],
    };
    json!({
        "client_id": wish.id,
        "name": wish.name,
        "public": wish.public,
        "first_party": wish.first_party,
        "introspects": wish.introspects,
        "redirect_uris": wish.redirect_uris,
        "sign_out_uris": wish.sign_out_uris,
        "grant_types": grant_types,
        "scopes": wish.scope,
        "requires_dpop": wish.requires_dpop,
    })
}

async fn list(api: &OperatorApi, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["client id", "name", "kind", "scopes", "redirect URIs"]);
    api.each(&format!("{CLIENTS}?"), |client| {
        if json {
            output::line(client);
        } else {
            table.add_row(client_row(client));
        }
    })
    .await?;
    if !json {
        output::line(table);
    }
    Ok(())
}

fn client_row(client: &Value) -> [String; 5] {
    let kind = if has(client, "public") { "public" } else { "confidential" };
    let kind = if has(client, "first_party") { format!("{kind}, first party") } else { kind.to_owned() };
    [
        text(client, "client_id"),
        text(client, "name"),
        kind,
        words(client, "scopes", " "),
        words(client, "redirect_uris", "\n"),
    ]
}

fn words(client: &Value, key: &str, separator: &str) -> String {
    let words = client.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(separator)
}
