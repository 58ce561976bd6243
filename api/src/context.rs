//! What the handlers work with.

use std::sync::Arc;

use mooring_auth::Rights;
use mooring_certs::Authority;
use mooring_server::Node;
use mooring_store::Store;
use time::Duration;

use crate::{CommandDesk, RateLimits, Revoker, StatusDesk};

/// Everything a handler may use. Cheap to clone.
#[derive(Clone)]
pub struct ApiContext {
    /// The database.
    pub store: Store,
    /// The broker.
    pub node: Node,
    /// The certificate authority.
    pub authority: Arc<Authority>,
    /// Rights over topics, which follow from ownership.
    pub rights: Arc<Rights>,
    /// Commands that wait for their answers.
    pub commands: Arc<CommandDesk>,
    /// Takes certificates back.
    pub revoker: Revoker,
    /// Tells others what is revoked.
    pub status: StatusDesk,
    /// How often one may ask for a certificate or claim a device.
    pub rates: Arc<RateLimits>,
    /// How long certificates are valid.
    pub lifetimes: Lifetimes,
}

/// How long certificates are valid.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of devices.
    pub device: Duration,
    /// Of apps and services.
    pub client: Duration,
}
