//! The apps that a person has let in: what each may have, since when, and the way to take it back.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mooring_store::ConnectedApp;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// An app that you have let in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppBody {
    /// Its `client_id`.
    #[schema(example = "spare-parts")]
    client_id: String,
    /// What it calls itself.
    #[schema(example = "Spare parts")]
    name: String,
    /// Whether it is the operator's own: nobody is asked for consent to it.
    first_party: bool,
    /// What it may have.
    #[schema(example = json!(["openid", "devices:read"]))]
    scopes: Vec<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// When it last got a token; absent when that is longer ago than tokens are remembered.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    used_at: Option<OffsetDateTime>,
}

impl From<ConnectedApp> for AppBody {
    fn from(app: ConnectedApp) -> Self {
        let ConnectedApp { client, name, first_party, scopes, since, used_at } = app;
        Self { client_id: client, name, first_party, scopes, since, used_at }
    }
}

/// List the apps that you have let in
///
/// Those that you agreed to, and those of the operator that are signed in.
#[utoipa::path(
    get, path = "/v1/account/apps", tag = "account",
    responses((status = 200, description = "By their names", body = Vec<AppBody>)),
)]
pub(super) async fn list(State(context): State<ApiContext>, caller: Caller) -> Result<Json<Vec<AppBody>>, Problem> {
    let apps = context.store.connected_apps(caller.user()?, OffsetDateTime::now_utc()).await?;
    Ok(Json(apps.into_iter().map(Into::into).collect()))
}

/// Take back what an app was let have
///
/// Its tokens end at once, and with them its requests, streams and MQTT connections; the consent is forgotten.
#[utoipa::path(
    delete, path = "/v1/account/apps/{client_id}", tag = "account",
    params(("client_id" = String, Path, description = "The app's `client_id`")),
    responses((status = 204, description = "It has nothing any more")),
)]
pub(super) async fn withdraw(
    State(context): State<ApiContext>,
    caller: Caller,
    client: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(client) = client?;
    let ended = context.oauth.withdraw_consent(caller.user()?, &client).await;
    let ended = ended.map_err(|error| match error {
        mooring_oauth::OauthError::Store(error) => error.into(),
        other => {
            tracing::error!(error = %other, "consent could not be withdrawn");
            Problem::internal("The server's log says what.")
        }
    })?;
    let nothing = || Problem::not_found("You have let no such app in.");
    ended.map(|_| StatusCode::NO_CONTENT).ok_or_else(nothing)
}
