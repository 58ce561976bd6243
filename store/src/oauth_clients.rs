//! Programs that ask people for access (the clients of OAuth 2.1), and what people have agreed to.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::sql::{Row, join_scopes, params, split_scopes};
use crate::{Cursor, Page, PageRequest, Result, Store, StoreError};

/// A program that asks people for access, or works for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthClient {
    /// Its `client_id`.
    pub id: String,
    /// What people see on the consent page.
    pub name: String,
    /// SHA-256 of its secret, of 256 random bits; `None` for a public client, such as an app on a phone.
    pub secret_hash: Option<[u8; 32]>,
    /// Whether it is the operator's own, so that nobody is asked for consent.
    pub first_party: bool,
    /// Whether it may ask about tokens that are not its own (RFC 7662): a resource server.
    pub introspects: bool,
    /// Where answers to authorization requests may go, exactly as registered.
    pub redirect_uris: Vec<String>,
    /// Where a browser may go after signing out.
    pub sign_out_uris: Vec<String>,
    /// The grant types that it may use, as `grant_type` names them.
    pub grant_types: Vec<String>,
    /// The most that it can be given.
    pub scopes: Vec<String>,
    /// Whether its tokens have to be bound to a key of its own (RFC 9449).
    pub requires_dpop: bool,
}

impl Store {
    /// Registers a client.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken, [`StoreError::Invalid`] for an entry of a list with white space.
    pub async fn create_oauth_client(&self, client: &OauthClient, now: OffsetDateTime) -> Result<()> {
        let OauthClient { id, name, secret_hash, first_party, introspects, .. } = client;
        let sql = "INSERT INTO oauth_clients (id, name, secret_hash, first_party, introspects, redirect_uris, \
             sign_out_uris, grant_types, scopes, created_at, requires_dpop) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let redirect_uris = join_scopes(&client.redirect_uris)?;
        let sign_out_uris = join_scopes(&client.sign_out_uris)?;
        let (grant_types, scopes) = (join_scopes(&client.grant_types)?, join_scopes(&client.scopes)?);
        let secret_hash = secret_hash.as_ref().map(<[u8; 32]>::as_slice);
        let params = params![
            id,
            name,
            secret_hash,
            *first_party,
            *introspects,
            &redirect_uris,
            &sign_out_uris,
            &grant_types,
            &scopes,
            now,
            client.requires_dpop
        ];
        self.execute(sql, &params).await.map(drop)
    }

    /// The client with this id.
    pub async fn oauth_client(&self, id: &str) -> Result<Option<OauthClient>> {
        self.row("SELECT * FROM oauth_clients WHERE id = $1", &params![id]).await?.as_ref().map(client).transpose()
    }

    /// All clients, by id.
    pub async fn oauth_clients(&self, page: &PageRequest) -> Result<Page<OauthClient>> {
        let after = page.after.as_ref().map_or("", Cursor::as_str);
        let sql = "SELECT * FROM oauth_clients WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, &params![after, page.rows()]).await?;
        page.page(&rows, client, |client| client.id.clone())
    }

    /// Removes a client with all that it was given: its codes and tokens are good for nothing any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_oauth_client(&self, id: &str) -> Result<()> {
        match self.execute("DELETE FROM oauth_clients WHERE id = $1", &params![id]).await? {
            0 => Err(StoreError::NotFound { what: "client" }),
            _ => Ok(()),
        }
    }

    /// What a person has agreed that a client may have; empty when nothing.
    pub async fn oauth_consent(&self, user: Uuid, client: &str) -> Result<Vec<String>> {
        let sql = "SELECT scopes FROM oauth_consents WHERE user_id = $1 AND client_id = $2";
        let row = self.row(sql, &params![user, client]).await?;
        Ok(row
            .map(|row| row.get::<String>("scopes"))
            .transpose()?
            .map_or_else(Vec::new, |scopes| split_scopes(&scopes)))
    }

    /// Remembers what a person agrees to, in the place of what was remembered before.
    pub async fn keep_oauth_consent(
        &self,
        user: Uuid,
        client: &str,
        scopes: &[String],
        now: OffsetDateTime,
    ) -> Result<()> {
        let sql = "INSERT INTO oauth_consents (user_id, client_id, scopes, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = EXCLUDED.scopes, at = EXCLUDED.at";
        self.execute(sql, &params![user, client, &join_scopes(scopes)?, now]).await.map(drop)
    }
}

fn client(row: &Row) -> Result<OauthClient> {
    let list = |column| row.get::<String>(column).map(|text| split_scopes(&text));
    let secret_hash: Option<Vec<u8>> = row.get("secret_hash")?;
    Ok(OauthClient {
        id: row.get("id")?,
        name: row.get("name")?,
        secret_hash: secret_hash.map(|_| row.hash("secret_hash")).transpose()?,
        first_party: row.get("first_party")?,
        introspects: row.get("introspects")?,
        redirect_uris: list("redirect_uris")?,
        sign_out_uris: list("sign_out_uris")?,
        grant_types: list("grant_types")?,
        scopes: list("scopes")?,
        requires_dpop: row.get("requires_dpop")?,
    })
}
