//! What can go wrong, with the code that the standards give it.

use std::path::PathBuf;

use mooring_accounts::AccountsError;
use mooring_store::StoreError;

use crate::dpop::ProofError;

/// The result of this crate's functions.
pub type Result<T, E = OauthError> = std::result::Result<T, E>;

/// Why a request was not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// The client's or the person's fault; the code is told to the client.
    #[error("{}: {why}", code.as_str())]
    Refused {
        /// The code of the standards.
        code: ErrorCode,
        /// What was wrong, for whoever writes the client.
        why: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Accounts failed, by no fault of the person's.
    #[error(transparent)]
    Accounts(AccountsError),
    /// A key file cannot be used.
    #[error("{}: {reason}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting cannot be used.
    #[error("{key}: {reason}")]
    Setting {
        /// Which one.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no randomness, or a key cannot sign.
    #[error("the cryptography of this machine failed")]
    Crypto,
}

impl OauthError {
    /// A refusal with its code.
    pub(crate) fn refused(code: ErrorCode, why: impl Into<String>) -> Self {
        Self::Refused { code, why: why.into() }
    }

    /// A request that does not have the form that it must have.
    pub(crate) fn invalid_request(why: impl Into<String>) -> Self {
        Self::refused(ErrorCode::InvalidRequest, why)
    }

    /// What the client is told: the code, and a description in the characters that RFC 6749, 5.2 allows.
    pub(crate) fn answer(&self) -> (ErrorCode, String) {
        match self {
            Self::Refused { code, why } => (*code, why.chars().filter(|c| is_description(*c)).collect()),
            Self::Accounts(AccountsError::Busy) => (ErrorCode::TemporarilyUnavailable, self.to_string()),
            Self::Store(StoreError::Unavailable { reason })
            | Self::Accounts(AccountsError::Store(StoreError::Unavailable { reason })) => {
                tracing::warn!(reason, "the database is unavailable");
                (
                    ErrorCode::TemporarilyUnavailable,
                    "The database can't be reached; try again in a few seconds.".to_owned(),
                )
            }
            other => {
                tracing::error!(error = %other, "the provider failed");
                (ErrorCode::ServerError, "The server's log says what.".to_owned())
            }
        }
    }
}

impl From<ProofError> for OauthError {
    fn from(error: ProofError) -> Self {
        let code = if error == ProofError::Nonce { ErrorCode::UseDpopNonce } else { ErrorCode::InvalidDpopProof };
        Self::refused(code, format!("The DPoP proof is no good: {error}."))
    }
}

impl From<AccountsError> for OauthError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Store(error) => Self::Store(error),
            other => Self::Accounts(other),
        }
    }
}

/// %x20-21 / %x23-5B / %x5D-7E (RFC 6749, appendix A.8).
fn is_description(c: char) -> bool {
    matches!(c, ' '..='~') && c != '"' && c != '\\'
}

/// The error codes of RFC 6749, RFC 8628, RFC 6750 and OpenID Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The client is unknown, or did not prove who it is.
    InvalidClient,
    /// The code or token is good for nothing.
    InvalidGrant,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// Nobody may use this grant type.
    UnsupportedGrantType,
    /// Only `code` is supported.
    UnsupportedResponseType,
    /// A scope that is unknown, or more than the client may have.
    InvalidScope,
    /// An audience other than our own (RFC 8707).
    InvalidTarget,
    /// The person refused.
    AccessDenied,
    /// `prompt=none`, and nobody is signed in (OpenID Connect Core, 3.1.2.6).
    LoginRequired,
    /// `prompt=none`, and the person would have to agree.
    ConsentRequired,
    /// A request object is not supported.
    RequestNotSupported,
    /// A DPoP proof is missing or not good (RFC 9449, 5).
    InvalidDpopProof,
    /// A DPoP proof lacks our nonce (RFC 9449, 8).
    UseDpopNonce,
    /// A pushed request that is unknown, used or has ended.
    InvalidRequestUri,
    /// Nobody has decided yet (RFC 8628, 3.5).
    AuthorizationPending,
    /// The screen polls too often.
    SlowDown,
    /// The device code has ended.
    ExpiredToken,
    /// The access token is not good (RFC 6750, 3.1).
    InvalidToken,
    /// The access token is for less.
    InsufficientScope,
    /// Too many attempts.
    TooManyRequests,
    /// Try again later.
    TemporarilyUnavailable,
    /// A fault of the server.
    ServerError,
}

impl ErrorCode {
    /// As the standards write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::TooManyRequests => "too_many_requests",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status of an answer that is JSON.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::InvalidClient | Self::InvalidToken => 401,
            Self::InsufficientScope => 403,
            Self::TooManyRequests => 429,
            Self::TemporarilyUnavailable => 503,
            Self::ServerError => 500,
            _ => 400,
        }
    }
}
