//! Mutual TLS: which client certificates a handshake accepts, and how a listener is configured.

mod anchors;
mod config;
mod https_peers;
mod mutual;
mod revoked;
mod verified_cache;

pub use anchors::Anchors;
pub use config::{ClientCertificate, ReloadableTls, https_server_config, provider, server_config};
pub use https_peers::{HttpsPeers, Shown, check_crl};
pub use mutual::MutualTls;
pub use revoked::RevokedSet;
