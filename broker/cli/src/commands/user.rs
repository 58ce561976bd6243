//! `mooring user`: accounts.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::{Value, json};
use uuid::Uuid;

use super::runtime;
use crate::args::{OperatorArgs, UserCommand};
use crate::operator::{OperatorApi, encoded, has, text};
use crate::output;

pub(super) fn run(command: UserCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            UserCommand::Create { name, config } => {
                let api = OperatorApi::open(&config).await?;
                let user = api.post("/v1/operator/users", &json!({"name": name})).await?;
                output::line(text(&user, "id"));
            }
            UserCommand::List { find, json, config } => {
                list(&OperatorApi::open(&config).await?, find.as_deref(), json).await?;
            }
            UserCommand::Disable { name, config } => set_disabled(&name, true, &config).await?,
            UserCommand::Enable { name, config } => set_disabled(&name, false, &config).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The user with this name.
pub(super) async fn find(api: &OperatorApi, name: &str) -> anyhow::Result<Option<Uuid>> {
    let users = api.get(&format!("/v1/operator/users?name={}", encoded(name))).await?;
    let id = users.pointer("/items/0/id").and_then(Value::as_str);
    id.map(str::parse).transpose().context("the answer has no id")
}

async fn list(api: &OperatorApi, find: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["user id", "name", "e-mail", "state"]);
    let query = find.map(|find| format!("query={}", encoded(find))).unwrap_or_default();
    api.each(&format!("/v1/operator/users?{query}"), |user| {
        if json {
            output::line(user_json(user));
        } else {
            let state = if has(user, "disabled_at") { "shut" } else { "open" };
            let email = user.get("email").and_then(Value::as_str).unwrap_or_default().to_owned();
            table.add_row([text(user, "id"), text(user, "name"), email, state.to_owned()]);
        }
    })
    .await?;
    if !json {
        output::line(table);
    }
    Ok(())
}

/// One line a user, so that a pipe can read it as it comes.
fn user_json(user: &Value) -> Value {
    json!({
        "id": user.get("id"),
        "name": user.get("name"),
        "email": user.get("email"),
        "disabled": has(user, "disabled_at"),
    })
}

async fn set_disabled(name: &str, disabled: bool, config: &OperatorArgs) -> anyhow::Result<()> {
    let api = OperatorApi::open(config).await?;
    let id = find(&api, name).await?.with_context(|| format!("no user {name:?}"))?;
    api.patch(&format!("/v1/operator/users/{id}"), &json!({"disabled": disabled})).await?;
    output::line(if disabled { "Shut." } else { "Open." });
    Ok(())
}
