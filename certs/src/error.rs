//! The crate's error, and whose fault one is.

use std::io;
use std::path::PathBuf;

use crate::authority::CaRole;
use crate::csr::CsrError;
use crate::ids::IdError;
use crate::leaf::LeafError;
use crate::serial::KeyId;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is, and so who has to be told and with what status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What the peer sent is wrong: HTTP 400, or a refused handshake.
    Peer,
    /// The operator's files or settings are wrong: the start is refused.
    Operator,
    /// The machine or this program failed: HTTP 500.
    Ours,
}

/// Why the authority could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The signing request cannot be granted.
    #[error("the signing request is refused: {0}")]
    Csr(#[from] CsrError),
    /// The certificate of a peer carries no identity that we gave.
    #[error("the certificate has no usable identity: {0}")]
    Leaf(#[from] LeafError),
    /// A name is not of the form that it has to have.
    #[error(transparent)]
    Id(#[from] IdError),

    /// The directory holds a part of an authority, as after a creation that was interrupted.
    #[error(
        "{} holds a part of a certificate authority (found {found}; missing {missing}): \
         restore it from a backup, or, when it never issued a certificate, remove the directory and start again",
        .dir.display()
    )]
    HalfMade {
        /// The authority's directory.
        dir: PathBuf,
        /// The files that are there.
        found: String,
        /// The files that are not.
        missing: String,
    },
    /// There is no authority in the directory.
    #[error("{} holds no certificate authority", .0.display())]
    NotFound(PathBuf),
    /// There is one already, and it is not overwritten.
    #[error("{} holds a certificate authority already", .0.display())]
    Exists(PathBuf),
    /// A file of the authority says something that cannot be.
    #[error("{}: {reason}", .path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The name of the authority's owner is of no use.
    #[error("the organisation is a printable name of 1 to {bytes_max} bytes")]
    Organisation {
        /// The limit.
        bytes_max: usize,
    },
    /// A certificate would have no time in which it is valid.
    #[error("a certificate cannot be valid for {0} seconds")]
    Lifetime(i64),
    /// The issuing intermediate is not valid at the time of issue.
    #[error("the {0} intermediate is not valid at this time: rotate it, or set the clock")]
    IssuerNotValid(CaRole),
    /// No intermediate of this authority has the key.
    #[error("no intermediate of this authority has the key {0}")]
    UnknownIssuer(KeyId),
    /// A server certificate without a DNS name or address is of no use to any TLS client.
    #[error("a server certificate needs at least one DNS name or IP address")]
    NoServerNames,
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    ServerAddress(String),
    /// More names than a certificate may carry.
    #[error("a server certificate takes at most {max} DNS names and addresses; {asked} were asked for")]
    TooManyServerNames {
        /// How many were asked for.
        asked: usize,
        /// How many are allowed.
        max: usize,
    },

    /// A key is encrypted, and nobody said how to open it.
    #[error(
        "{} is encrypted: name the file with its passphrase by certificates.key_file or MOORING_CA_PASSPHRASE_FILE",
        .0.display()
    )]
    KeyLocked(PathBuf),
    /// The secret does not open the key.
    #[error("{}: the passphrase or key file is not the one that it was encrypted with, or the file was changed", .0.display())]
    WrongSecret(PathBuf),
    /// A secret that is guessed at once.
    #[error("a passphrase or key file has at least {bytes_min} bytes")]
    ShortSecret {
        /// The limit.
        bytes_min: usize,
    },
    /// The keys are here, and what a company's authority is to sign is not.
    #[error(
        "{} waits for the chains of its intermediates: have the requests in it signed, and bring them by `mooring ca import-chain`",
        .0.display()
    )]
    AwaitsChains(PathBuf),
    /// A chain that somebody else signed cannot be used.
    #[error("the chain: {0}")]
    Chain(String),
    /// Only the root can do this, and its key is not here.
    #[error("the root's key is not in {}: bring it back with `mooring ca import`", .0.display())]
    RootKeyAway(PathBuf),
    /// A private key of the operator's cannot be used.
    #[error("the private key is not {0}")]
    PrivateKey(String),
    /// The random number generator, or a signing key, failed.
    #[error("cryptography failed: {0}")]
    Crypto(String),
}

impl Error {
    /// Whose fault this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Csr(_) | Self::Leaf(_) | Self::Id(_) => Fault::Peer,
            Self::HalfMade { .. }
            | Self::NotFound(_)
            | Self::Exists(_)
            | Self::BadFile { .. }
            | Self::Io { .. }
            | Self::Organisation { .. }
            | Self::Lifetime(_)
            | Self::IssuerNotValid(_)
            | Self::UnknownIssuer(_)
            | Self::NoServerNames
            | Self::PrivateKey(_)
            | Self::KeyLocked(_)
            | Self::WrongSecret(_)
            | Self::ShortSecret { .. }
            | Self::RootKeyAway(_)
            | Self::AwaitsChains(_)
            | Self::Chain(_)
            | Self::ServerAddress(_)
            | Self::TooManyServerNames { .. } => Fault::Operator,
            Self::Crypto(_) => Fault::Ours,
        }
    }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<ring::error::Unspecified> for Error {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::Crypto("the random number generator or a key refused".to_owned())
    }
}
