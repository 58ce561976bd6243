//! `mooring oauth client`: programs that ask people for access.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_oauth::{GRANT_TYPES, check_client, generate_client_secret};
use mooring_store::{OauthClient, PageRequest, Store};
use serde_json::json;
use time::OffsetDateTime;

use super::{open_store, runtime};
use crate::args::{CreateClient, OauthClientCommand, OauthCommand};
use crate::output;

pub(super) fn run(command: OauthCommand) -> anyhow::Result<ExitCode> {
    let OauthCommand::Client(command) = command;
    runtime()?.block_on(async {
        match command {
            OauthClientCommand::Create(wish) => create(*wish).await?,
            OauthClientCommand::List { json, config } => list(&open_store(&config).await?.1, json).await?,
            OauthClientCommand::Remove { id, config } => {
                open_store(&config).await?.1.remove_oauth_client(&id).await?;
                output::line("Removed. What people have let it have ends within a second.");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(wish: CreateClient) -> anyhow::Result<()> {
    let (_, store) = open_store(&wish.config).await?;
    let secret = if wish.public { None } else { Some(generate_client_secret()?) };
    let client = client(&wish, secret.as_ref().map(|(_, hash)| *hash));
    check_client(&client).map_err(anyhow::Error::msg)?;
    let now = OffsetDateTime::now_utc();
    store.create_oauth_client(&client, now).await?;
    let subject = format!("client:{}", client.id);
    let detail = json!({"name": &client.name, "first_party": client.first_party, "scopes": &client.scopes});
    store.append_audit("operator", "oauth.client.create", &subject, &detail, now).await?;
    let secret = secret.map(|(text, _)| text);
    if wish.json {
        output::line(json!({"client_id": client.id, "client_secret": secret}));
        return Ok(());
    }
    output::line(format_args!("client_id      {}", client.id));
    if let Some(secret) = secret {
        output::line(format_args!("client_secret  {secret}"));
        output::line("The secret is shown this once: only its hash is kept.");
    }
    Ok(())
}

fn client(wish: &CreateClient, secret_hash: Option<[u8; 32]>) -> OauthClient {
    let [code, refresh, credentials, device] = GRANT_TYPES;
    let grant_types = match (wish.service, wish.device_code, wish.redirect_uris.is_empty()) {
        (true, _, _) => vec![credentials],
        (false, true, true) => vec![device, refresh],
        (false, true, false) => vec![code, refresh, device],
        (false, false, _) => vec![code, refresh],
    };
    OauthClient {
        id: wish.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()),
        name: wish.name.clone(),
        secret_hash,
        first_party: wish.first_party,
        introspects: wish.introspects,
        redirect_uris: wish.redirect_uris.clone(),
        sign_out_uris: wish.sign_out_uris.clone(),
        grant_types: grant_types.into_iter().map(str::to_owned).collect(),
        scopes: wish.scope.clone(),
    }
}

async fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["client id", "name", "kind", "scopes", "redirect URIs"]);
    let mut page = PageRequest::first(PageRequest::LIMIT_MAX);
    loop {
        let clients = store.oauth_clients(&page).await?;
        for client in &clients.items {
            if json {
                output::line(client_json(client));
            } else {
                table.add_row(client_row(client));
            }
        }
        match clients.next {
            Some(cursor) => page = PageRequest::after(cursor, PageRequest::LIMIT_MAX),
            None => break,
        }
    }
    if !json {
        output::line(table);
    }
    Ok(())
}

fn client_row(client: &OauthClient) -> [String; 5] {
    let kind = if client.secret_hash.is_some() { "confidential" } else { "public" };
    let kind = if client.first_party { format!("{kind}, first party") } else { kind.to_owned() };
    [client.id.clone(), client.name.clone(), kind, client.scopes.join(" "), client.redirect_uris.join("\n")]
}

fn client_json(client: &OauthClient) -> serde_json::Value {
    json!({
        "client_id": client.id,
        "name": client.name,
        "public": client.secret_hash.is_none(),
        "first_party": client.first_party,
        "introspects": client.introspects,
        "redirect_uris": client.redirect_uris,
        "sign_out_uris": client.sign_out_uris,
        "grant_types": client.grant_types,
        "scopes": client.scopes,
    })
}
