//! Programs that people let act for them (OAuth 2.1), as an operator registers them.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_oauth::{check_client, generate_client_secret};
use mooring_store::OauthClient;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::routes::grants::GONE;
use crate::routes::page::{PageBody, PageQuery};
use crate::{OperatorContext, Problem};

/// A client.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct OauthClientBody {
    /// Its `client_id`.
    #[schema(example = "my-app")]
    client_id: String,
    /// What people read when it asks them.
    name: String,
    /// Whether it is one that can't keep a secret.
    public: bool,
    /// Whether it is one's own: people are not asked for consent.
    first_party: bool,
    /// Whether it may ask about tokens of others (RFC 7662).
    introspects: bool,
    /// Where answers may go.
    redirect_uris: Vec<String>,
    /// Where browsers may go after signing out.
    sign_out_uris: Vec<String>,
    /// What it may ask for tokens with.
    grant_types: Vec<String>,
    /// The most that it can be given.
    scopes: Vec<String>,
    /// Whether its tokens have to be bound to a key of its own (RFC 9449).
    requires_dpop: bool,
}

impl From<OauthClient> for OauthClientBody {
    fn from(client: OauthClient) -> Self {
        Self {
            public: client.secret_hash.is_none(),
            client_id: client.id,
            name: client.name,
            first_party: client.first_party,
            introspects: client.introspects,
            redirect_uris: client.redirect_uris,
            sign_out_uris: client.sign_out_uris,
            grant_types: client.grant_types,
            scopes: client.scopes,
            requires_dpop: client.requires_dpop,
        }
    }
}

/// A client to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct OauthClientRequest {
    /// Its `client_id`; without it, one is made.
    #[serde(default)]
    client_id: Option<String>,
    /// What people read when it asks them.
    #[schema(example = "My app")]
    name: String,
    /// Whether it is one that can't keep a secret: it gets none.
    #[serde(default)]
    public: bool,
    /// Whether it is one's own: people are not asked for consent.
    #[serde(default)]
    first_party: bool,
    /// Whether it may ask about tokens of others (RFC 7662).
    #[serde(default)]
    introspects: bool,
    /// Where answers may go.
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// Where browsers may go after signing out.
    #[serde(default)]
    sign_out_uris: Vec<String>,
    /// What it may ask for tokens with.
    grant_types: Vec<String>,
    /// The most that it can be given.
    scopes: Vec<String>,
    /// Whether its tokens have to be bound to a key of its own (RFC 9449).
    #[serde(default)]
    requires_dpop: bool,
}

/// A client with its secret: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct MadeOauthClient {
    #[serde(flatten)]
    client: OauthClientBody,
    /// The secret of one that is not public.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// List OAuth clients
#[utoipa::path(
    get, path = "/v1/operator/oauth-clients", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page of clients", body = PageBody<OauthClientBody>)),
)]
pub(in crate::routes) async fn list(
    State(context): State<OperatorContext>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<OauthClientBody>>, Problem> {
    let Query(page) = page?;
    Ok(Json(PageBody::new(context.store.oauth_clients(&page.request()?).await?, Into::into)))
}

/// Register an OAuth client
#[utoipa::path(
    post, path = "/v1/operator/oauth-clients", tag = "operator",
    request_body(
        content = OauthClientRequest,
        example = json!({
            "name": "My app", "public": true, "redirect_uris": ["https://app.example.com/callback"],
            "grant_types": ["authorization_code", "refresh_token"], "scopes": ["openid", "devices:read"],
        })
    ),
    responses(
        (status = 201, description = "The client", body = MadeOauthClient),
        (status = 409, description = "The id is taken", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::routes) async fn create(
    State(context): State<OperatorContext>,
    caller: Caller,
    body: Result<Json<OauthClientRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(request) = body?;
    let secret = if request.public { None } else { Some(generate_client_secret()) };
    let secret = secret.transpose().map_err(|_| Problem::internal("The system has no random numbers."))?;
    let client = OauthClient {
        id: request.client_id.unwrap_or_else(|| Uuid::new_v4().simple().to_string()),
        name: request.name,
        secret_hash: secret.as_ref().map(|(_, hash)| *hash),
        first_party: request.first_party,
        introspects: request.introspects,
        redirect_uris: request.redirect_uris,
        sign_out_uris: request.sign_out_uris,
        grant_types: request.grant_types,
        scopes: request.scopes,
        requires_dpop: request.requires_dpop,
    };
    check_client(&client).map_err(Problem::invalid_request)?;
    let now = OffsetDateTime::now_utc();
    context.store.create_oauth_client(&client, now).await?;
    let subject = format!("client:{}", client.id);
    let detail = json!({"name": &client.name, "first_party": client.first_party, "scopes": &client.scopes});
    context.store.append_audit(&caller.actor(), "oauth.client.create", &subject, &detail, now).await?;
    let client_secret = secret.map(|(text, _)| text);
    Ok((StatusCode::CREATED, Json(MadeOauthClient { client: client.into(), client_secret })))
}

/// Remove an OAuth client
///
/// Everything that people have let it have ends within a second.
#[utoipa::path(
    delete, path = "/v1/operator/oauth-clients/{client_id}", tag = "operator", params(("client_id" = String, Path)),
    responses((status = 204, description = "It is gone")),
)]
pub(in crate::routes) async fn remove(
    State(context): State<OperatorContext>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    // Postgres has no U+0000, and no client's id has it.
    if id.contains('\0') {
        return Err(Problem::not_found("There is no such client."));
    }
    context.store.remove_oauth_client(&id).await?;
    let (subject, now) = (format!("client:{id}"), OffsetDateTime::now_utc());
    context.store.append_audit(&caller.actor(), "oauth.client.remove", &subject, &json!({}), now).await?;
    Ok(GONE)
}
