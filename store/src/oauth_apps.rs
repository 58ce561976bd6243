//! What a person sees of the programs that they let in, and how they take it back.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, params, split_scopes};
use crate::{Result, Store};

/// A program that a person has let in: by consent, or, being the operator's own, by signing in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedApp {
    /// Its `client_id`.
    pub client: String,
    /// What people see of it.
    pub name: String,
    /// Whether it is the operator's own.
    pub first_party: bool,
    /// What it may have.
    pub scopes: Vec<String>,
    /// Since when.
    pub since: OffsetDateTime,
    /// When it last got a token; `None` when that is longer ago than tokens are remembered.
    pub used_at: Option<OffsetDateTime>,
}

impl Store {
    /// The programs that a person has let in, by name: those with a consent, and those that hold tokens at `now`.
    pub async fn connected_apps(&self, user: Uuid, now: OffsetDateTime) -> Result<Vec<ConnectedApp>> {
        let mut apps = BTreeMap::new();
        let sql = "SELECT clients.id, clients.name, clients.first_party, consents.scopes, consents.at AS since \
             FROM oauth_consents AS consents JOIN oauth_clients AS clients ON clients.id = consents.client_id \
             WHERE consents.user_id = $1";
        for row in self.rows(sql, &params![user]).await? {
            add(&mut apps, &row)?;
        }
        let sql = "SELECT clients.id, clients.name, clients.first_party, families.scopes, families.created_at AS since, \
             families.expires_at, families.ended_at, \
             (SELECT MAX(created_at) FROM oauth_refresh_tokens WHERE family_id = families.id) AS refreshed_at \
             FROM oauth_families AS families JOIN oauth_clients AS clients ON clients.id = families.client_id \
             WHERE families.user_id = $1";
        for row in self.rows(sql, &params![user]).await? {
            if row.time_opt("ended_at")?.is_none() && row.time("expires_at")? > now {
                add(&mut apps, &row)?;
            }
            if let Some(app) = apps.get_mut(&row.get::<String>("id")?) {
                let used_at = row.time_opt("refreshed_at")?.unwrap_or(row.time("since")?);
                app.used_at = app.used_at.max(Some(used_at));
            }
        }
        let mut apps: Vec<_> = apps.into_values().collect();
        apps.sort_by(|one, other| (&one.name, &one.client).cmp(&(&other.name, &other.client)));
        Ok(apps)
    }

    /// Takes back what a person has given a client: the consent is forgotten, codes that were not exchanged yet are good for nothing, and all families
    /// end. Gives these; `None` when the person had given it nothing.
    pub async fn withdraw_oauth_consent(
        &self,
        user: Uuid,
        client: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Vec<Uuid>>> {
        let mut tx = self.begin().await?;
        let mut forgotten = 0;
        for sql in [
            "DELETE FROM oauth_consents WHERE user_id = $1 AND client_id = $2",
            "DELETE FROM oauth_codes WHERE user_id = $1 AND client_id = $2 AND used_at IS NULL",
            "DELETE FROM oauth_device_codes WHERE user_id = $1 AND client_id = $2 AND used_at IS NULL",
        ] {
            forgotten += tx.execute(sql, &params![user, client]).await?;
        }
        let sql = "UPDATE oauth_families SET ended_at = $3, end_reason = 'withdrawn' \
             WHERE user_id = $1 AND client_id = $2 AND ended_at IS NULL RETURNING id";
        let rows = tx.rows(sql, &params![user, client, now]).await?;
        tx.commit().await?;
        let ended = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<_>>>()?;
        Ok((forgotten > 0 || !ended.is_empty()).then_some(ended))
    }
}

/// Adds what one consent or family says of a program.
fn add(apps: &mut BTreeMap<String, ConnectedApp>, row: &Row) -> Result<()> {
    let (client, since): (String, _) = (row.get("id")?, row.time("since")?);
    let name = row.get("name")?;
    let first_party = row.get("first_party")?;
    let app = apps.entry(client.clone()).or_insert_with(|| ConnectedApp {
        client,
        name,
        first_party,
        scopes: Vec::new(),
        since,
        used_at: None,
    });
    app.since = app.since.min(since);
    for scope in split_scopes(&row.get::<String>("scopes")?) {
        if !app.scopes.contains(&scope) {
            app.scopes.push(scope);
        }
    }
    Ok(())
}
