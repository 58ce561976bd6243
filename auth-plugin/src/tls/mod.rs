//! Mutual TLS: which client certificates a handshake accepts, and how a listener is configured.

mod anchors;
mod config;
mod mutual;
mod revoked;
mod verified_cache;

pub use anchors::Anchors;
pub use config::{ClientCertificate, ReloadableTls, provider, server_config};
pub use mutual::MutualTls;
pub use revoked::RevokedSet;
