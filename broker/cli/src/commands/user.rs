//! `mooring user`: accounts.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_store::{PageRequest, Store, User};
use serde_json::json;
use time::OffsetDateTime;

use super::{open_store, runtime};
use crate::args::{ConfigArgs, UserCommand};
use crate::{factory, output};

pub(super) fn run(command: UserCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            UserCommand::Create { name, config } => {
                let (_, store) = open_store(&config).await?;
                let user = factory::make_user(&store, &name).await?;
                output::line(user.id);
            }
            UserCommand::List { find, json, config } => {
                let (_, store) = open_store(&config).await?;
                list(&store, find.as_deref(), json).await?;
            }
            UserCommand::Disable { name, config } => set_disabled(&name, true, &config).await?,
            UserCommand::Enable { name, config } => set_disabled(&name, false, &config).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn list(store: &Store, find: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["user id", "name", "e-mail", "state"]);
    let mut page = PageRequest::first(PageRequest::LIMIT_MAX);
    loop {
        let users = match find {
            Some(text) => store.search_users(text, &page).await?,
            None => store.users(&page).await?,
        };
        for user in &users.items {
            if json {
                output::line(user_json(user));
            } else {
                let state = if user.disabled_at.is_some() { "shut" } else { "open" };
                let email = user.email.clone().unwrap_or_default();
                table.add_row([user.id.to_string(), user.name.clone(), email, state.to_owned()]);
            }
        }
        match users.next {
            Some(cursor) => page = PageRequest::after(cursor, PageRequest::LIMIT_MAX),
            None => break,
        }
    }
    if !json {
        output::line(table);
    }
    Ok(())
}

/// One line a user, so that a pipe can read it as it comes.
fn user_json(user: &User) -> serde_json::Value {
    json!({"id": user.id, "name": user.name, "email": user.email, "disabled": user.disabled_at.is_some()})
}

/// A running server asks the database for shut accounts every few seconds, and refuses their tokens at once.
async fn set_disabled(name: &str, disabled: bool, config: &ConfigArgs) -> anyhow::Result<()> {
    let (_, store) = open_store(config).await?;
    let user = store.user_by_name(name).await?.with_context(|| format!("no user {name:?}"))?;
    let now = OffsetDateTime::now_utc();
    store.set_user_disabled(user.id, disabled, now).await?;
    let action = if disabled { "user.disable" } else { "user.enable" };
    store.append_audit("operator", action, &format!("user:{}", user.id), &json!({}), now).await?;
    output::line(if disabled { "Shut." } else { "Open." });
    Ok(())
}
