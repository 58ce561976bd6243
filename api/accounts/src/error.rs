//! What can go wrong with an account, and whose fault it is.

use std::time::Duration;

use mooring_store::StoreError;

use crate::email::EmailError;
use crate::factors::PasskeyError;
use crate::password::PasswordFault;

/// The result of a call on [`crate::Accounts`].
pub type Result<T, E = AccountsError> = std::result::Result<T, E>;

/// Why a call on [`crate::Accounts`] did not do what was asked. None of them says whether an account exists.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// No account with such an address, or not its password, or not its passkey: they are not told apart. HTTP 401.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The code is wrong, or was used. HTTP 401.
    #[error("the code is wrong")]
    WrongCode,
    /// What was begun is unknown, finished, expired or was tried too often: begin again. HTTP 410.
    #[error("this has expired or was used: begin again")]
    Expired,
    /// Too many tries of this account or address. HTTP 429 with `Retry-After`.
    #[error("too many tries: wait {} s", .retry_after.as_secs())]
    TooManyTries {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The address can't be used. HTTP 422.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The new password is refused by the policy. HTTP 422.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The passkey, or what was sent of it, is refused. HTTP 422.
    #[error(transparent)]
    Passkey(#[from] PasskeyError),
    /// The name of a person, a passkey or a language can't be used. HTTP 422.
    #[error("{what} can't be used: {why}")]
    Name {
        /// Which name.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// The server lets nobody sign up by themselves. HTTP 403.
    #[error("sign-up is closed here: ask whoever runs this server")]
    SignUpClosed,
    /// This needs the password, or a sign-in of a few minutes ago. HTTP 403.
    #[error("sign in again to do this")]
    ProofNeeded,
    /// There is no such factor or session. HTTP 404.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It is there already, or in the way of another. HTTP 409.
    #[error("{0}")]
    Conflict(&'static str),
    /// Too many passwords wait to be hashed. HTTP 503.
    #[error("too many sign-ins at this moment: try again in a few seconds")]
    Busy,
    /// The list of breached passwords is damaged, so that no new password can be judged. HTTP 503.
    #[error("the list of breached passwords can't be read: {0}")]
    BreachedList(String),
    /// The database failed or is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something outside of accounts that has to be done first was not done: what was asked for has not happened. HTTP 503.
    #[error("could not be done now: {0}")]
    Hook(String),
    /// A fault of the server: no random bytes, or a secret that the key does not open. HTTP 500.
    #[error("internal error of accounts: {0}")]
    Internal(&'static str),
}

impl AccountsError {
    /// The key of the text that tells it to a person, in the catalogue ([`crate::texts`]). Some take `{seconds}`.
    #[must_use]
    pub const fn text_key(&self) -> &'static str {
        match self {
            Self::WrongCredentials => "error-wrong-credentials",
            Self::WrongCode => "error-wrong-code",
            Self::Expired => "error-expired",
            Self::TooManyTries { .. } => "error-too-many-tries",
            Self::Email(_) => "error-email",
            Self::Password(fault) => fault.text_key(),
            Self::Passkey(_) => "error-passkey",
            Self::Name { .. } => "error-name",
            Self::SignUpClosed => "error-sign-up-closed",
            Self::ProofNeeded => "error-proof-needed",
            Self::NotFound(_) => "error-not-found",
            Self::Conflict(_) => "error-conflict",
            Self::Busy => "error-busy",
            Self::BreachedList(_) | Self::Store(_) | Self::Hook(_) | Self::Internal(_) => "error-internal",
        }
    }

    /// The HTTP status that it becomes.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::WrongCredentials | Self::WrongCode => 401,
            Self::SignUpClosed | Self::ProofNeeded => 403,
            Self::NotFound(_) | Self::Store(StoreError::NotFound { .. }) => 404,
            Self::Conflict(_) | Self::Store(StoreError::Conflict { .. }) => 409,
            Self::Expired => 410,
            Self::Email(_) | Self::Password(_) | Self::Passkey(_) | Self::Name { .. } => 422,
            Self::TooManyTries { .. } => 429,
            Self::Internal(_) | Self::Store(StoreError::Internal { .. } | StoreError::SchemaTooNew { .. }) => 500,
            Self::Store(StoreError::Invalid { .. }) => 400,
            Self::Busy | Self::BreachedList(_) | Self::Hook(_) | Self::Store(StoreError::Unavailable { .. }) => 503,
        }
    }
}
