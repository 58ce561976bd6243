//! Who calls, and what they may do.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use mooring_auth::{Secret, SecretKind};
use mooring_store::{Device, GrantRole, Token};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{ApiContext, Problem};

/// What a token may be for; written in OAuth's form, separated by spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// See devices, their state and their events.
    DevicesRead,
    /// Claim devices and change their wished state.
    DevicesWrite,
    /// Send commands.
    CommandsSend,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DevicesRead => "devices:read",
            Self::DevicesWrite => "devices:write",
            Self::CommandsSend => "commands:send",
        }
    }
}

/// The scope of an operator's token: sees and does everything.
const OPERATOR: &str = "operator";

/// The holder of a valid bearer token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    token: Token,
}

/// What a caller wants of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// See it.
    See,
    /// Tell it what to do.
    Command,
}

impl Caller {
    /// The holder of a token that was presented.
    pub(crate) async fn of_token(context: &ApiContext, token: &str) -> Result<Self, Problem> {
        let unknown = || Problem::unauthorized("The token is unknown, expired or revoked: make a new one.");
        let secret = Secret::parse(SecretKind::ApiToken, token).ok_or_else(unknown)?;
        let token = context.store.token_by_hash(&secret.hash(), OffsetDateTime::now_utc()).await?;
        token.map(|token| Self { token }).ok_or_else(unknown)
    }

    /// The user that the token stands for; an operator's token stands for none.
    pub(crate) fn user(&self) -> Result<Uuid, Problem> {
        self.token.user.ok_or_else(|| Problem::forbidden("This needs a person's token; the token is an operator's."))
    }

    /// Who it is, for the audit log.
    pub(crate) fn actor(&self) -> String {
        match self.token.user {
            Some(user) => format!("user:{user}"),
            None => format!("token:{}", self.token.id),
        }
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.token.scopes.iter().any(|scope| scope == OPERATOR)
    }

    pub(crate) fn require_operator(&self) -> Result<(), Problem> {
        if self.is_operator() { Ok(()) } else { Err(Problem::forbidden("This is for an operator's token.")) }
    }

    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.is_operator() || self.token.scopes.iter().any(|held| held == scope.as_str()) {
            Ok(())
        } else {
            Err(Problem::forbidden(format!("The token lacks the scope {}.", scope.as_str())))
        }
    }

    /// The device, when the caller may see it. A device that is not theirs and one that does not exist get the same answer: ids tell nothing.
    pub(crate) async fn device(&self, context: &ApiContext, id: Uuid, wish: Wish) -> Result<Device, Problem> {
        let none = || Problem::not_found(format!("You have no device {id}."));
        let device = context.store.device(id).await?.ok_or_else(none)?;
        if self.is_operator() || (device.owner.is_some() && device.owner == self.token.user) {
            return Ok(device);
        }
        let user = self.token.user.ok_or_else(none)?;
        let grants = context.store.grants_of_user(user, OffsetDateTime::now_utc()).await?;
        let role = grants.iter().find(|grant| grant.device == id).map(|grant| grant.role);
        match (role, wish) {
            (Some(GrantRole::Member), _) | (Some(GrantRole::Guest), Wish::See) => Ok(device),
            (Some(GrantRole::Guest), Wish::Command) => {
                Err(Problem::forbidden("A guest sees the device; only its owner and members command it."))
            }
            // A technician's scopes are finer than these routes; until they are told apart here, closed.
            (Some(GrantRole::Technician) | None, _) => Err(none()),
        }
    }
}

impl FromRequestParts<ApiContext> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &ApiContext) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)
            .ok_or_else(|| Problem::unauthorized("Send a token as `Authorization: Bearer <token>`."))?;
        Self::of_token(context, token).await
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, 2.1); the scheme is compared without regard to case (RFC 9110, 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
