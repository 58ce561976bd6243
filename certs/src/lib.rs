//! The certificate authority: issue, renew, revoke.
//!
//! A root signs three intermediates, one each for devices, clients (the apps of people) and servers; an intermediate
//! signs leaves. The authority sets every name and every extension of a leaf: a signing request gives a public key
//! and the proof that its private key exists, and nothing else.
//!
//! The identity of a leaf is its one SPIFFE id, a URI in the subject alternative name. [`LeafIdentity`] reads it back,
//! and is the only way to tell whom a certificate is for: the common name is for people to read.
//!
//! The crate has no clock and no sockets: `now` is an argument. It touches the disk in [`authority`] and [`keystore`]
//! alone.

pub mod authority;
pub mod csr;
mod der;
mod disk;
mod error;
mod hierarchy;
pub mod ids;
pub mod issue;
pub mod keystore;
pub mod leaf;
mod pem;
pub mod serial;

pub use authority::{Authority, CaOptions, CaRole};
pub use csr::{CsrError, KeyKind, SigningRequest};
pub use error::{Error, Fault, Result};
pub use ids::{ClientUuid, DeviceId, IdError, ServerName, SpiffeId, SpiffeKind, TrustDomain};
pub use issue::{Issued, ServerNames, Validity};
pub use keystore::{CaKey, KeyStore, PrivateKey, generate_key_pem};
pub use leaf::{LeafError, LeafIdentity};
pub use serial::{KeyId, RevocationReason, Serial};
