//! The certificate authority: issue, renew, revoke.
//!
//! A root signs three intermediates, one each for devices, clients (the apps of people) and servers; an intermediate
//! signs leaves. The authority sets every name and every extension of a leaf: a signing request gives a public key
//! and the proof that its private key exists, and nothing else.
//!
//! The identity of a leaf is its one SPIFFE id, a URI in the subject alternative name. [`LeafIdentity`] reads it back,
//! and is the only way to tell whom a certificate is for: the common name is for people to read.
//!
//! ```
//! use mooring_certs::{Authority, CaOptions, DeviceId, LeafIdentity, PrivateKey, SigningRequest, TrustDomain, Validity};
//!
//! # let dir = tempfile::tempdir()?;
//! # let now = time::macros::datetime!(2026-06-01 12:00 UTC);
//! # let id = "01890a5d-ac96-774b-bcce-b302099a8057";
//! let options = CaOptions { trust_domain: TrustDomain::default(), organisation: "Example".to_owned(), now };
//! let (authority, _is_new) = Authority::open_or_create(&dir.path().join("ca"), &options)?;
//!
//! // The device makes its key and its request, the authority the certificate.
//! let key = PrivateKey::generate()?;
//! let request = SigningRequest::parse(key.request_pem()?.as_bytes())?;
//! let issued = authority.issue_device(&request, DeviceId::parse(id)?, &Validity::new(now, Validity::DEVICE))?;
//!
//! let identity = LeafIdentity::read(&issued.der)?;
//! assert_eq!(identity.spiffe_id.to_string(), format!("spiffe://mooring.local/device/{id}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no clock and no sockets: `now` is an argument. It touches the disk in [`authority`] and [`keystore`]
//! alone.

pub mod acme;
pub mod authority;
pub mod crl;
pub mod csr;
mod der;
mod der_write;
mod disk;
mod error;
pub mod external;
mod hierarchy;
pub mod ids;
pub mod issue;
pub mod keystore;
pub mod leaf;
pub mod live;
pub mod manufacturer;
mod manufacturer_crl;
pub mod ocsp;
mod pem;
mod pkcs7;
pub mod rotate;
pub mod sealed;
pub mod serial;

pub use acme::{ACME_TLS_ALPN, PublicRequest, certificate_times, challenge_certificate};
pub use authority::{Authority, CaOptions, CaRole};
pub use crl::{Crl, CrlEntry};
pub use csr::{CsrError, KeyKind, SigningRequest};
pub use error::{Error, Fault, Result};
pub use ids::{ClientUuid, DeviceId, IdError, ServerName, SpiffeId, SpiffeKind, TrustDomain};
pub use issue::{Issued, ServerNames, Validity};
pub use keystore::{CaKey, FileKeyStore, KeyName, KeyStore, PrivateKey, generate_key_pem};
pub use leaf::{LeafError, LeafIdentity};
pub use live::LiveAuthority;
pub use manufacturer::{ManufacturerCa, ManufacturerLeaf};
pub use manufacturer_crl::CheckedCrl;
pub use ocsp::{CertId, CertStatus, OcspFailure, OcspRequest, OcspResponder};
pub use pkcs7::{certs_only, csr_attributes};
pub use sealed::KeySecret;
pub use serial::{KeyId, RevocationReason, Serial};
