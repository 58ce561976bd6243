//! Who calls, and what they may do.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use mooring_auth::{Secret, SecretKind};
use mooring_oauth::{AccessToken, ProvenRequest, Provider};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access::{DeviceAccess, Part};
use crate::{ApiContext, Problem};

/// What a token may be for; written in OAuth's form, separated by spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See devices, their state and their events.
    DevicesRead,
    /// Claim devices, share them, and change their wished state.
    DevicesWrite,
    /// Send commands.
    CommandsSend,
    /// See and change one's own account.
    Account,
}

impl Scope {
    /// Every scope that a person's token can have.
    pub(crate) const ALL: [Self; 4] = [Self::DevicesRead, Self::DevicesWrite, Self::CommandsSend, Self::Account];

    /// The name of the scope in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DevicesRead => "devices:read",
            Self::DevicesWrite => "devices:write",
            Self::CommandsSend => "commands:send",
            Self::Account => "account",
        }
    }

    /// What it lets a client do, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::DevicesRead => "See devices, their state and their events",
            Self::DevicesWrite => "Claim devices, share them, and change their wished state",
            Self::CommandsSend => "Send commands to devices",
            Self::Account => "See and change your account",
        }
    }
}

/// The scope of an operator's token: sees and does everything.
pub(crate) const OPERATOR: &str = "operator";

/// The holder of a valid bearer token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What it is in the audit log when no user stands behind it.
    credential: String,
    user: Option<Uuid>,
    scopes: Vec<String>,
    expires_at: Option<OffsetDateTime>,
}

impl Caller {
    /// Whom the operating system vouches for: no token stands for them.
    pub(crate) fn local_operator() -> Self {
        Self { credential: OPERATOR.to_owned(), user: None, scopes: vec![OPERATOR.to_owned()], expires_at: None }
    }

    /// The holder of the token of a request, which shows the key that the token is bound to, where it is bound to one (RFC 9449, 7.1).
    pub(crate) async fn of_request(
        context: &ApiContext,
        headers: &HeaderMap,
        request: ProvenRequest<'_>,
    ) -> Result<Self, Problem> {
        let presented = presented(headers);
        let (scheme, token) =
            presented.ok_or_else(|| Problem::unauthorized("Send a token as `Authorization: Bearer <token>`."))?;
        if scheme == Scheme::Bearer {
            return Self::of_token(context, token).await;
        }
        let found = context.oauth.access_token(token);
        let found = found.map_err(|why| Problem::unauthorized(format!("The access token is no good: {why}.")))?;
        let unbound = || Problem::unauthorized("The access token is bound to no key: send it as Bearer.");
        let jkt = found.jkt.ok_or_else(unbound)?;
        let proof = context.oauth.check_proof(headers, request, token, &jkt);
        proof.map_err(|why| Problem::unauthorized(format!("The DPoP proof is no good: {why}.")))?;
        Self::of_sign_in(context, found).await
    }

    /// The holder of a token that was presented as Bearer: whoever has it. One that is bound to a key is no good so.
    pub(crate) async fn of_token(context: &ApiContext, token: &str) -> Result<Self, Problem> {
        if Provider::is_access_token(token) && context.oauth.access_token(token).is_ok_and(|found| found.jkt.is_some())
        {
            return Err(Problem::unauthorized("The access token is bound to a key: send it as DPoP, with a proof."));
        }
        Self::of_token_again(context, token).await
    }

    /// The holder of a token that was presented with all that belongs to it when the connection or stream began.
    pub(crate) async fn of_token_again(context: &ApiContext, token: &str) -> Result<Self, Problem> {
        if Provider::is_access_token(token) {
            let found = context.oauth.access_token(token);
            let found = found.map_err(|why| Problem::unauthorized(format!("The access token is no good: {why}.")))?;
            return Self::of_sign_in(context, found).await;
        }
        let unknown = || Problem::unauthorized("The token is unknown, expired or revoked: make a new one.");
        let secret = Secret::parse(SecretKind::ApiToken, token).ok_or_else(unknown)?;
        let token = context.store.token_by_hash(&secret.hash(), OffsetDateTime::now_utc()).await?;
        let token = token.ok_or_else(unknown)?;
        Ok(Self {
            credential: format!("token:{}", token.id),
            user: token.user,
            scopes: token.scopes,
            expires_at: token.expires_at,
        })
    }

    async fn of_sign_in(context: &ApiContext, found: AccessToken) -> Result<Self, Problem> {
        if let Some(user) = found.user {
            // The token itself says nothing of an account that was shut since.
            let account = context.store.user(user).await?;
            if account.is_none_or(|account| account.disabled_at.is_some()) {
                return Err(Problem::unauthorized("The account is shut."));
            }
        }
        Ok(Self {
            credential: format!("client:{}", found.client_id),
            user: found.user,
            scopes: found.scopes,
            expires_at: Some(found.expires_at),
        })
    }

    /// The user that the token stands for; an operator's token stands for none.
    pub(crate) fn user(&self) -> Result<Uuid, Problem> {
        self.user.ok_or_else(|| Problem::forbidden("This needs a person's token; the token is an operator's."))
    }

    /// Who it is, for the audit log.
    pub(crate) fn actor(&self) -> String {
        match self.user {
            Some(user) => format!("user:{user}"),
            None => self.credential.clone(),
        }
    }

    /// When the token ends.
    pub(crate) fn expires_at(&self) -> Option<OffsetDateTime> {
        self.expires_at
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.scopes.iter().any(|scope| scope == OPERATOR)
    }

    pub(crate) fn require_operator(&self) -> Result<(), Problem> {
        if self.is_operator() { Ok(()) } else { Err(Problem::forbidden("This is for an operator's token.")) }
    }

    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.is_operator() || self.scopes.iter().any(|held| held == scope.as_str()) {
            Ok(())
        } else {
            Err(Problem::forbidden(format!("The token lacks the scope {}.", scope.as_str())))
        }
    }

    /// The device, when the caller has a part in it. A device that is not theirs and one that does not exist get the same answer: ids tell nothing.
    pub(crate) async fn access(&self, context: &ApiContext, id: Uuid) -> Result<DeviceAccess, Problem> {
        let none = || Problem::not_found(format!("You have no device {id}."));
        let device = context.store.device(id).await?.ok_or_else(none)?;
        if self.is_operator() {
            return Ok(DeviceAccess { device, part: Part::Operator });
        }
        let user = self.user.ok_or_else(none)?;
        if device.owner == Some(user) && device.retired_at.is_none() {
            return Ok(DeviceAccess { device, part: Part::Owner });
        }
        let grants = context.store.grants_of_user_on(user, id, OffsetDateTime::now_utc()).await?;
        let part = Part::of_grants(grants).ok_or_else(none)?;
        Ok(DeviceAccess { device, part })
    }
}

/// The guard of the route has found out who calls: a handler behind none has no caller.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal("The route is declared without a caller."))
    }
}

/// Likewise for the device that the path names.
impl<S: Send + Sync> FromRequestParts<S> for DeviceAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let access = parts.extensions.get::<Self>().cloned();
        access.ok_or_else(|| Problem::internal("The route is declared without a device."))
    }
}

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Whoever has it may use it (RFC 6750).
    Bearer,
    /// With a proof of its key (RFC 9449).
    Dpop,
}

/// The token of `Authorization`; the scheme is compared without regard to case (RFC 9110, 11.1).
pub(crate) fn presented(headers: &HeaderMap) -> Option<(Scheme, &str)> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let scheme = if is("bearer") { Scheme::Bearer } else { is("dpop").then_some(Scheme::Dpop)? };
    Some((scheme, token.trim()))
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    presented(headers).filter(|(scheme, _)| *scheme == Scheme::Bearer).map(|(_, token)| token)
}
