//! Who a client is, and what it may do.
//!
//! Three questions, in the order in which a connection meets them:
//!
//! - [`tls`]: is the certificate one of ours, and still good? A verifier of our own for the handshake, and the listeners' configuration.
//! - [`authenticate`]: who is it? A certificate, a [`token`], a [`password`], or nobody where a listener allows that, becomes a [`mooring_core::Principal`].
//! - [`rights`]: may it? Deny by default; what is allowed follows from what the client is and from who owns which device, and from the
//!   [`rules`] of the operator.
//!
//! What a client may is decided from memory. The crate knows no database: whoever changes ownership, grants or revocations tells it, and is told
//! in turn whose live connections have to be looked at again; tokens come from a [`TokenSource`].
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use mooring_auth::*;
//! # use mooring_certs::Authority;
//! # fn wire(chain: Vec<rustls_pki_types::CertificateDer<'static>>, key: rustls_pki_types::PrivateKeyDer<'static>) -> Result<(), Box<dyn std::error::Error>> {
//! let authority = Authority::open(Path::new("data/ca"))?;
//! let trust_domain = authority.trust_domain().clone();
//! let revoked = Arc::new(RevokedSet::new());
//! let mutual = MutualTls::new(trust_domain.clone(), Anchors::of_authority(&authority)?, Arc::clone(&revoked));
//! let listener = ReloadableTls::new(server_config(chain, key, ClientCertificate::Required, &mutual)?);
//!
//! let rights = Arc::new(Rights::new(&trust_domain, AnonymousPolicy::Deny, system_clock()));
//! let certificates = CertificateAuthenticator::new(trust_domain, revoked, Arc::clone(&rights), system_clock());
//! let authenticate = Authenticators::new(certificates, Vec::new(), ["https".into()]);
//! # Ok(())
//! # }
//! ```

mod address;
pub mod authenticate;
mod clock;
pub mod device_password;
mod error;
pub mod journal;
pub mod password;
pub mod rights;
pub mod rules;
pub mod scram;
pub mod secret;
pub mod tls;
pub mod token;
pub mod webhook;

pub use authenticate::{ANONYMOUS, Authenticators, CertificateAuthenticator, Method};
pub use clock::{Clock, system_clock};
pub use device_password::{DevicePasswordPolicy, DevicePasswordSource, DevicePasswords, device_password_credential};
pub use error::{AuthError, Fault, Result};
pub use journal::{DecidedAction, Decision, DecisionJournal};
pub use password::{Argon2Cost, PasswordFile, PasswordFileError, PasswordFileMethod, PasswordHash};
pub use rights::{AnonymousPolicy, Grant, Rights, Role, Scope};
pub use rules::{RuleError, RuleNote, RuleSet};
pub use scram::{SCRAM_SHA_256, ScramCredential, ScramFileError, ScramUsers, WithScram};
pub use secret::{ClaimCode, Secret, SecretKind, hashes_are_equal};
pub use tls::{
    Anchors, ClientCertificate, HttpsPeers, MutualTls, ReloadableTls, RevokedSet, Shown, check_crl,
    https_server_config, server_config,
};
pub use token::{FoundToken, LiveTokens, TokenMethod, TokenSource, sign_in_credential, token_credential};
pub use webhook::{Webhook, WebhookConfig, WebhookMethod, WebhookUrl, WithWebhook};
