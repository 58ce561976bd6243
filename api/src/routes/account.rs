//! One's own account: what is kept of it, its password, second factors and sessions, and its end. Signing up and in are pages of the OAuth
//! provider; passkeys are added there, since they belong to a page's origin.

use std::net::SocketAddr;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use mooring_accounts::{AccountsError, Profile, Proof, Session, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::{ApiContext, PeerAddress, Problem};

/// Your account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountBody {
    /// Your id.
    id: Uuid,
    /// Your e-mail address; absent for a user whom an operator made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// Whether mail to it has reached you.
    email_verified: bool,
    /// The name to sign in with.
    name: String,
    /// What you want to be called.
    display_name: String,
    /// The language of mails and pages.
    #[schema(example = "en")]
    language: String,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Whether there is a password.
    has_password: bool,
    /// Whether an authenticator app is a second factor.
    totp: bool,
    /// How many recovery codes are left.
    recovery_codes_left: u64,
    /// The passkeys.
    passkeys: Vec<PasskeyBody>,
}

/// A passkey.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PasskeyBody {
    /// The credential's id, in hexadecimal.
    id: String,
    /// What you call it.
    name: String,
    /// Whether it exists in more than one place.
    backed_up: bool,
    /// When it was added.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it last signed in.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    used_at: Option<OffsetDateTime>,
}

impl From<Profile> for AccountBody {
    fn from(profile: Profile) -> Self {
        let passkeys = profile.passkeys.into_iter().map(|passkey| PasskeyBody {
            id: passkey.id,
            name: passkey.name,
            backed_up: passkey.backed_up,
            created_at: passkey.created_at,
            used_at: passkey.used_at,
        });
        Self {
            passkeys: passkeys.collect(),
            id: profile.id,
            email: profile.email,
            email_verified: profile.email_verified,
            name: profile.name,
            display_name: profile.display_name,
            language: profile.language,
            created_at: profile.created_at,
            has_password: profile.has_password,
            totp: profile.totp,
            recovery_codes_left: profile.recovery_codes_left,
        }
    }
}

/// Show your account
#[utoipa::path(
    get, path = "/v1/account", tag = "account",
    responses((status = 200, description = "The account", body = AccountBody)),
)]
pub(super) async fn show(State(context): State<ApiContext>, caller: Caller) -> Result<Json<AccountBody>, Problem> {
    Ok(Json(context.accounts.profile(caller.user()?).await?.into()))
}

/// What is to change of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountPatch {
    /// What you want to be called.
    #[schema(example = "Ada")]
    display_name: Option<String>,
    /// The language of mails and pages.
    #[schema(example = "de")]
    language: Option<String>,
}

/// Change your name or language
#[utoipa::path(
    patch, path = "/v1/account", tag = "account",
    request_body(content = AccountPatch, example = json!({"display_name": "Ada"})),
    responses((status = 200, description = "The account after the change", body = AccountBody)),
)]
pub(super) async fn change(
    State(context): State<ApiContext>,
    caller: Caller,
    patch: Result<Json<AccountPatch>, JsonRejection>,
) -> Result<Json<AccountBody>, Problem> {
    let Json(AccountPatch { display_name, language }) = patch?;
    let user = caller.user()?;
    let before = context.accounts.profile(user).await?;
    let display_name = display_name.unwrap_or(before.display_name);
    let language = language.unwrap_or(before.language);
    context.accounts.set_profile(user, &display_name, &language).await?;
    Ok(Json(context.accounts.profile(user).await?.into()))
}

/// A password in the place of another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordRequest {
    /// The one that is good now.
    #[schema(format = Password)]
    current_password: String,
    /// The new one.
    #[schema(format = Password)]
    new_password: String,
}

/// Change your password
///
/// All browsers and apps are signed out, this one, too.
#[utoipa::path(
    put, path = "/v1/account/password", tag = "account", request_body(
        content = PasswordRequest,
        example = json!({"current_password": "tidal wharf pigeon", "new_password": "copper lantern moss"})
    ),
    responses((status = 204, description = "The new one is good from now on")),
)]
pub(super) async fn change_password(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    headers: HeaderMap,
    caller: Caller,
    body: Result<Json<PasswordRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(PasswordRequest { current_password, new_password }) = body?;
    let (user, visitor) = (caller.user()?, visitor(address, &headers));
    let proof = Proof::Password(&current_password);
    context.accounts.change_password(user, proof, &new_password, None, &visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A browser that is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    /// Its id.
    id: Uuid,
    /// What the browser calls itself.
    user_agent: String,
    /// The network address that it signed in from.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// How you proved who you are (RFC 8176).
    #[schema(example = json!(["pwd", "otp", "mfa"]))]
    amr: Vec<String>,
    /// When it signed in.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it was last used, to within a minute.
    #[serde(with = "time::serde::rfc3339")]
    seen_at: OffsetDateTime,
    /// When it ends at the latest.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl From<Session> for SessionBody {
    fn from(session: Session) -> Self {
        let Session { id, user_agent, address, amr, created_at, seen_at, expires_at, .. } = session;
        Self { id, user_agent, address, amr, created_at, seen_at, expires_at }
    }
}

/// List the browsers that are signed in
#[utoipa::path(
    get, path = "/v1/account/sessions", tag = "account",
    responses((status = 200, description = "The last used first", body = Vec<SessionBody>)),
)]
pub(super) async fn sessions(
    State(context): State<ApiContext>,
    caller: Caller,
) -> Result<Json<Vec<SessionBody>>, Problem> {
    let sessions = context.accounts.sessions(caller.user()?).await?;
    Ok(Json(sessions.into_iter().map(Into::into).collect()))
}

/// Sign out everywhere
///
/// All browsers and apps, this one, too; connections that they opened close at once.
#[utoipa::path(
    delete, path = "/v1/account/sessions", tag = "account",
    responses((status = 204, description = "Nobody is signed in any more")),
)]
pub(super) async fn end_sessions(State(context): State<ApiContext>, caller: Caller) -> Result<StatusCode, Problem> {
    context.accounts.end_all_sessions(caller.user()?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign a browser out
///
/// With the apps that were signed in through it.
#[utoipa::path(
    delete, path = "/v1/account/sessions/{session_id}", tag = "account", params(("session_id" = Uuid, Path)),
    responses((status = 204, description = "It is signed out")),
)]
pub(super) async fn end_session(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    context.accounts.end_session(caller.user()?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Your password, as proof that it is still you.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofRequest {
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// A secret for an authenticator app.
#[derive(Serialize, ToSchema)]
pub(super) struct TotpBody {
    /// In base 32, to be typed.
    secret: String,
    /// As a link that an app on the same device opens, or as the content of a QR code.
    uri: String,
}

/// Offer a secret to an authenticator app
///
/// It is in force once a code confirms it.
#[utoipa::path(
    put, path = "/v1/account/totp", tag = "account",
    request_body(content = ProofRequest, example = json!({"password": "tidal wharf pigeon"})),
    responses((status = 200, description = "The secret, shown this once", body = TotpBody)),
)]
pub(super) async fn offer_totp(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    headers: HeaderMap,
    caller: Caller,
    body: Result<Json<ProofRequest>, JsonRejection>,
) -> Result<Json<TotpBody>, Problem> {
    let Json(ProofRequest { password }) = body?;
    let (user, visitor) = (caller.user()?, visitor(address, &headers));
    let offer = context.accounts.offer_totp(user, Proof::Password(&password), &visitor).await?;
    Ok(Json(TotpBody { secret: offer.secret.to_string(), uri: offer.uri.to_string() }))
}

/// A code of an authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeRequest {
    /// Its six digits.
    #[schema(example = "123456")]
    code: String,
}

/// Codes that each stand in once for a second factor that was lost.
#[derive(Serialize, ToSchema)]
pub(super) struct RecoveryCodesBody {
    /// The codes, shown this once; none when there are some left from before.
    recovery_codes: Vec<String>,
}

/// Confirm an authenticator app
#[utoipa::path(
    put, path = "/v1/account/totp/confirmation", tag = "account",
    request_body(content = CodeRequest, example = json!({"code": "123456"})),
    responses((status = 200, description = "The app is a second factor from now on", body = RecoveryCodesBody)),
)]
pub(super) async fn confirm_totp(
    State(context): State<ApiContext>,
    caller: Caller,
    body: Result<Json<CodeRequest>, JsonRejection>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let Json(CodeRequest { code }) = body?;
    let codes = context.accounts.confirm_totp(caller.user()?, &code).await?;
    Ok(Json(RecoveryCodesBody { recovery_codes: codes.unwrap_or_default() }))
}

/// Make new recovery codes
///
/// In the place of those before.
#[utoipa::path(
    put, path = "/v1/account/recovery-codes", tag = "account",
    request_body(content = ProofRequest, example = json!({"password": "tidal wharf pigeon"})),
    responses((status = 200, description = "The codes, shown this once", body = RecoveryCodesBody)),
)]
pub(super) async fn new_recovery_codes(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    headers: HeaderMap,
    caller: Caller,
    body: Result<Json<ProofRequest>, JsonRejection>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let Json(ProofRequest { password }) = body?;
    let (user, visitor) = (caller.user()?, visitor(address, &headers));
    let recovery_codes = context.accounts.new_recovery_codes(user, Proof::Password(&password), &visitor).await?;
    Ok(Json(RecoveryCodesBody { recovery_codes }))
}

/// Export your data
///
/// All that is kept of you: account, sessions, tokens, devices with their state, grants, and what the audit log has. The history of a device is
/// under its events.
#[utoipa::path(
    get, path = "/v1/account/export", tag = "account",
    responses((status = 200, description = "Everything", body = Value)),
)]
pub(super) async fn export(State(context): State<ApiContext>, caller: Caller) -> Result<Json<Value>, Problem> {
    Ok(Json(context.accounts.export(caller.user()?).await?))
}

/// Delete your account
///
/// For good: your devices have no owner any more, your grants, tokens and sessions end, your certificates are revoked. The audit log keeps your
/// id, and nothing else.
#[utoipa::path(
    post, path = "/v1/account/deletion", tag = "account",
    request_body(content = ProofRequest, example = json!({"password": "tidal wharf pigeon"})),
    responses((status = 204, description = "It is deleted")),
)]
pub(super) async fn delete(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    headers: HeaderMap,
    caller: Caller,
    body: Result<Json<ProofRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(ProofRequest { password }) = body?;
    let (user, visitor) = (caller.user()?, visitor(address, &headers));
    context.accounts.delete_account(user, Proof::Password(&password), &visitor).await?;
    context.sharing.streams.rights_changed();
    Ok(StatusCode::NO_CONTENT)
}

fn visitor(address: SocketAddr, headers: &HeaderMap) -> Visitor {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Visitor { user_agent: user_agent.to_owned(), ..Visitor::from_address(address.ip()) }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        let text = format!("{}.", capitalised(&error.to_string()));
        match error {
            AccountsError::Store(error) => error.into(),
            // Not 401: the token is good, and a client would throw it away.
            AccountsError::WrongCredentials => Self::forbidden("The password is wrong."),
            AccountsError::WrongCode | AccountsError::ProofNeeded | AccountsError::SignUpClosed => {
                Self::forbidden(text)
            }
            AccountsError::NotFound(_) => Self::not_found(text),
            AccountsError::Conflict(_) => Self::conflict(text),
            AccountsError::TooManyTries { retry_after } => {
                Self::too_many_requests(text).retry_after(retry_after.as_secs().max(1))
            }
            AccountsError::Expired => Self::invalid_request(text).with_status(StatusCode::GONE),
            AccountsError::Email(_)
            | AccountsError::Password(_)
            | AccountsError::Passkey(_)
            | AccountsError::Name { .. } => Self::invalid_request(text).with_status(StatusCode::UNPROCESSABLE_ENTITY),
            AccountsError::Busy | AccountsError::BreachedList(_) | AccountsError::Hook(_) => {
                tracing::warn!(%error, "accounts can't answer now");
                Self::unavailable("Try again in a few seconds.")
            }
            AccountsError::Internal(_) => {
                tracing::error!(%error, "accounts failed");
                Self::internal("The server's log says what.")
            }
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
