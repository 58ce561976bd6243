//! Users as an operator sees them.
#![expect(unused_qualifications, reason = "what the macro makes of two parameter types")]

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_core::SessionSelector;
use mooring_protocol::ReasonCode;
use mooring_store::{Page, User};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::caller::Caller;
use crate::routes::page::{PageBody, PageQuery};
use crate::routes::text;
use crate::{OperatorContext, Problem, Sharing, making};

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
    /// The name to sign in with, whole: at most one user has it.
    name: Option<String>,
}

/// Search users
#[utoipa::path(
    get, path = "/v1/operator/users", tag = "operator", params(UserQuery, PageQuery),
    responses((status = 200, description = "A page of users", body = PageBody<UserBody>)),
)]
pub(in crate::routes) async fn search(
    State(context): State<OperatorContext>,
    query: Result<Query<UserQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<UserBody>>, Problem> {
    let (Query(UserQuery { query, name }), Query(page)) = (query?, page?);
    let page = page.request()?;
    let users = match (name, query) {
        (Some(_), Some(_)) => return Err(Problem::invalid_request("Ask by name or by query, not by both.")),
        // Postgres has no U+0000, and no name has it.
        (Some(name), None) if name.contains('\0') => Page { items: Vec::new(), next: None },
        (Some(name), None) => {
            Page { items: context.store.user_by_name(&name).await?.into_iter().collect(), next: None }
        }
        (None, Some(text)) => context.store.search_users(&text, &page).await?,
        (None, None) => context.store.users(&page).await?,
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
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<UserRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(UserRequest { name }) = body?;
    let user = making::make_user(&context.store, &text::name(&name)?, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(UserBody::from(user))))
}

/// Show a user
#[utoipa::path(
    get, path = "/v1/operator/users/{user_id}", tag = "operator", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = UserBody)),
)]
pub(in crate::routes) async fn one(
    State(context): State<OperatorContext>,
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
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    patch: Result<Json<UserPatch>, JsonRejection>,
) -> Result<Json<UserBody>, Problem> {
    let (Path(id), Json(UserPatch { disabled })) = (id?, patch?);
    let now = OffsetDateTime::now_utc();
    let user = context.store.set_user_disabled(id, disabled, now).await?;
    if let Some(live) = &context.live {
        bring_in_force(live, id, disabled).await;
    }
    let action = if disabled { "user.disable" } else { "user.enable" };
    context.store.append_audit(&caller.actor(), action, &format!("user:{id}"), &json!({}), now).await?;
    Ok(Json(user.into()))
}

/// Connections of a shut account end at once, and no other begins.
async fn bring_in_force(live: &Sharing, user: Uuid, disabled: bool) {
    for identity in live.rights.user_identities(user) {
        if disabled {
            live.rights.block(identity.clone());
            let selector = SessionSelector::Identity(identity);
            live.node.disconnect(selector, ReasonCode::NotAuthorized, "the account is shut", false).await;
        } else {
            live.rights.unblock(&identity);
        }
    }
    live.streams.rights_changed();
}
