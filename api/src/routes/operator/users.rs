//! Users and tokens as an operator sees them.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_core::SessionSelector;
use mooring_protocol::ReasonCode;
use mooring_store::{NewUser, Token, User};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::caller::Caller;
use crate::routes::page::{PageBody, PageQuery};
use crate::routes::text;
use crate::{ApiContext, Problem, tokens};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct UserBody {
    /// The user's id.
    id: Uuid,
    /// The name to sign in with.
    #[schema(example = "otto")]
    name: String,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "otto@example.com")]
    email: Option<String>,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Since when the account is shut.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    disabled_at: Option<OffsetDateTime>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        let User { id, name, email, created_at, disabled_at } = user;
        Self { id, name, email, created_at, disabled_at }
    }
}

/// Which users.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::routes) struct UserQuery {
    /// A part of the name or the e-mail address.
    query: Option<String>,
}

/// Search users
#[utoipa::path(
    get, path = "/v1/operator/users", tag = "operator", params(UserQuery, PageQuery),
    responses((status = 200, description = "A page of users", body = PageBody<UserBody>)),
)]
pub(in crate::routes) async fn search(
    State(context): State<ApiContext>,
    query: Result<Query<UserQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<UserBody>>, Problem> {
    let (Query(UserQuery { query }), Query(page)) = (query?, page?);
    let page = page.request()?;
    let users = match query {
        Some(text) => context.store.search_users(&text, &page).await?,
        None => context.store.users(&page).await?,
    };
    Ok(Json(PageBody::new(users, Into::into)))
}

/// A user to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct UserRequest {
    /// The name to sign in with.
    #[schema(example = "otto")]
    name: String,
}

/// Make a user
///
/// Without a password: for tokens and certificates. People sign up by themselves.
#[utoipa::path(
    post, path = "/v1/operator/users", tag = "operator", request_body(content = UserRequest, example = json!({"name": "otto"})),
    responses(
        (status = 201, description = "The user", body = UserBody),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::routes) async fn create(
    State(context): State<ApiContext>,
    caller: Caller,
    body: Result<Json<UserRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(UserRequest { name }) = body?;
    let now = OffsetDateTime::now_utc();
    let new = NewUser { id: Uuid::now_v7(), name: text::name(&name)?, email: None };
    let user = context.store.create_user(&new, now).await?;
    let detail = json!({"name": user.name});
    context.store.append_audit(&caller.actor(), "user.create", &format!("user:{}", user.id), &detail, now).await?;
    Ok((StatusCode::CREATED, Json(UserBody::from(user))))
}

/// Show a user
#[utoipa::path(
    get, path = "/v1/operator/users/{user_id}", tag = "operator", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = UserBody)),
)]
pub(in crate::routes) async fn one(
    State(context): State<ApiContext>,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<UserBody>, Problem> {
    let Path(id) = id?;
    let user = context.store.user(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found(format!("There is no user {id}.")))?.into()))
}

/// What is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct UserPatch {
    /// Whether the account is shut: nothing of it works then, and its connections end.
    disabled: bool,
}

/// Shut an account, or open it again
#[utoipa::path(
    patch, path = "/v1/operator/users/{user_id}", tag = "operator", params(("user_id" = Uuid, Path)),
    request_body(content = UserPatch, example = json!({"disabled": true})),
    responses((status = 200, description = "The user after the change", body = UserBody)),
)]
pub(in crate::routes) async fn change(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    patch: Result<Json<UserPatch>, JsonRejection>,
) -> Result<Json<UserBody>, Problem> {
    let (Path(id), Json(UserPatch { disabled })) = (id?, patch?);
    let now = OffsetDateTime::now_utc();
    let user = context.store.set_user_disabled(id, disabled, now).await?;
    for identity in context.rights.user_identities(id) {
        if disabled {
            context.rights.block(identity.clone());
            let selector = SessionSelector::Identity(identity);
            context.node.disconnect(selector, ReasonCode::NotAuthorized, "the account is shut", false).await;
        } else {
            context.rights.unblock(&identity);
        }
    }
    context.sharing.streams.rights_changed();
    let action = if disabled { "user.disable" } else { "user.enable" };
    context.store.append_audit(&caller.actor(), action, &format!("user:{id}"), &json!({}), now).await?;
    Ok(Json(user.into()))
}

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
    State(context): State<ApiContext>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<TokenBody>>, Problem> {
    let Query(page) = page?;
    Ok(Json(PageBody::new(context.store.tokens(&page.request()?).await?, Into::into)))
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
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<TokenEnd>, Problem> {
    let Path(id) = id?;
    let connections_closed = tokens::revoke_token(&context.store, Some(&context.node), id, &caller.actor()).await?;
    Ok(Json(TokenEnd { connections_closed }))
}
