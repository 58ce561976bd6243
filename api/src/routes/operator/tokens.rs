//! Tokens of the API as an operator sees them.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_store::Token;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::{Caller, OPERATOR, Scope};
use crate::making::{TokenOrder, make_token};
use crate::routes::page::{PageBody, PageQuery};
use crate::routes::text;
use crate::{OperatorContext, Problem, tokens};

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct TokenBody {
    /// Its id.
    id: Uuid,
    /// The user whom it stands for; absent for an operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Uuid>,
    /// What it may do.
    #[schema(example = json!(["devices:read"]))]
    scopes: Vec<String>,
    /// What its maker calls it.
    label: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<OffsetDateTime>,
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        let Token { id, user, scopes, label, created_at, expires_at, revoked_at } = token;
        Self { id, user, scopes, label, created_at, expires_at, revoked_at }
    }
}

/// List API tokens
#[utoipa::path(
    get, path = "/v1/operator/tokens", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page of tokens", body = PageBody<TokenBody>)),
)]
pub(in crate::routes) async fn list_tokens(
    State(context): State<OperatorContext>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<TokenBody>>, Problem> {
    let Query(page) = page?;
    Ok(Json(PageBody::new(context.store.tokens(&page.request()?).await?, Into::into)))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct TokenRequest {
    /// The user whom it stands for; without one it is an operator's, and may do everything.
    #[serde(default)]
    user: Option<Uuid>,
    /// Whether it is to be an operator's: said on purpose, so that a forgotten user makes none.
    #[serde(default)]
    operator: bool,
    /// What a user's token may do.
    #[serde(default)]
    #[schema(example = json!(["devices:read"]))]
    scopes: Vec<String>,
    /// What it is for.
    #[schema(example = "the script that fills the dashboard", min_length = 1, max_length = 100)]
    label: String,
    /// When it ends; without it, never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// A token: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct MadeToken {
    /// Its id, by which it is revoked.
    id: Uuid,
    /// The token.
    token: String,
}

/// Make an API token
///
/// For a user, or for an operator. It is shown this once.
#[utoipa::path(
    post, path = "/v1/operator/tokens", tag = "operator",
    request_body(content = TokenRequest, example = json!({"operator": true, "label": "the night shift", "expires_at": "2036-01-01T00:00:00Z"})),
    responses((status = 201, description = "The token", body = MadeToken)),
)]
pub(in crate::routes) async fn create_token(
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(TokenRequest { user, operator, scopes, label, expires_at }) = body?;
    let scopes = match (user, operator) {
        (None, true) if scopes.is_empty() => vec![OPERATOR.to_owned()],
        (Some(_), false) => known_scopes(scopes)?,
        (None, true) => return Err(Problem::invalid_request("An operator's token may do everything: name no scopes.")),
        _ => return Err(Problem::invalid_request("A token is a user's or an operator's: name `user`, or `operator`.")),
    };
    if let Some(user) = user {
        let known = context.store.user(user).await?;
        known.ok_or_else(|| Problem::not_found(format!("There is no user {user}.")))?;
    }
    if expires_at.is_some_and(|at| at <= OffsetDateTime::now_utc()) {
        return Err(Problem::invalid_request("expires_at is over already."));
    }
    let order = TokenOrder { user, scopes, label: text::name(&label)?, expires_at };
    let (id, secret) = make_token(&context.store, order, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { id, token: secret.reveal().to_owned() })))
}

/// A user's token never holds what makes an operator.
fn known_scopes(scopes: Vec<String>) -> Result<Vec<String>, Problem> {
    let names = Scope::ALL.map(Scope::as_str);
    match scopes.iter().find(|scope| !names.contains(&scope.as_str())) {
        Some(unknown) => Err(Problem::invalid_request(format!(
            "{unknown:?} is no scope of a user's token; there are {}.",
            names.join(", ")
        ))),
        None if scopes.is_empty() => Err(Problem::invalid_request("A user's token needs scopes.")),
        None => Ok(scopes),
    }
}

/// What revoking a token did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct TokenEnd {
    /// MQTT connections that it had opened.
    connections_closed: usize,
}

/// Revoke an API token
#[utoipa::path(
    delete, path = "/v1/operator/tokens/{token_id}", tag = "operator", params(("token_id" = Uuid, Path)),
    responses((status = 200, description = "It is good no more", body = TokenEnd)),
)]
pub(in crate::routes) async fn revoke_token(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<TokenEnd>, Problem> {
    let Path(id) = id?;
    let node = context.live.as_ref().map(|live| &live.node);
    let connections_closed = tokens::revoke_token(&context.store, node, id, &caller.actor()).await?;
    Ok(Json(TokenEnd { connections_closed }))
}
