//! The crate's error, and whose fault one is.

use mooring_certs::LeafError;

use crate::password::PasswordFileError;
use crate::rules::RuleError;

/// The result of what this crate does.
pub type Result<T, E = AuthError> = std::result::Result<T, E>;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What the peer presented is wrong: the handshake or the CONNECT is refused.
    Peer,
    /// The operator's files or settings are wrong: the start is refused, or a reload keeps what was.
    Operator,
    /// The machine or this program failed.
    Ours,
}

/// What can go wrong between a certificate and a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The certificate of a peer carries no identity.
    #[error("the certificate has no usable identity: {0}")]
    Leaf(#[from] LeafError),
    /// The identity is one of another authority.
    #[error("the certificate is of the trust domain {0:?}, which is not ours")]
    ForeignTrustDomain(String),
    /// A server, or whatever else does not connect as a client.
    #[error("a certificate of a server cannot connect as a client")]
    NotAClient,
    /// The intermediate that signed it is not the one that its key identifier names.
    #[error("the certificate names another signer than the one that signed it")]
    OtherSigner,
    /// The chain does not hold.
    #[error("the certificate does not verify: {0}")]
    Chain(webpki::Error),

    /// A certificate that is given as an anchor cannot be one.
    #[error("a certificate of the {role} cannot be trusted as an authority: {what}")]
    Anchor {
        /// What it was to sign.
        role: &'static str,
        /// Why not.
        what: String,
    },
    /// A listener's certificate or key is of no use to TLS.
    #[error("the certificate or key of the listener cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The rule file does not say anything that can be followed.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// The file of users does not say anything that can be followed.
    #[error(transparent)]
    Passwords(#[from] PasswordFileError),

    /// The webhook's settings do not lead to one.
    #[error("the webhook: {0}")]
    Webhook(String),

    /// Whoever knows the tokens can't be asked now.
    #[error("tokens can't be looked up: {0}")]
    TokensAway(String),
    /// Whoever knows the passwords of devices can't be asked now.
    #[error("the password of the device can't be looked up: {0}")]
    DevicePasswordsAway(String),
    /// The machine gave no random numbers.
    #[error("the random number generator failed")]
    Random,
}

impl AuthError {
    /// Whose fault this is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Leaf(_) | Self::ForeignTrustDomain(_) | Self::NotAClient | Self::OtherSigner | Self::Chain(_) => {
                Fault::Peer
            }
            Self::Anchor { .. } | Self::Tls(_) | Self::Rules(_) | Self::Passwords(_) | Self::Webhook(_) => {
                Fault::Operator
            }
            Self::TokensAway(_) | Self::DevicePasswordsAway(_) | Self::Random => Fault::Ours,
        }
    }
}
