//! What the handlers work with.

use std::sync::Arc;

use mooring_accounts::Accounts;
use mooring_auth::Rights;
use mooring_certs::LiveAuthority;
use mooring_oauth::Provider;
use mooring_server::Node;
use mooring_store::{ClaimPolicy, Grace, Store};
use time::Duration;

use crate::{AccessLog, RateLimits, Revoker, Sharing, StatusDesk};

/// Everything a handler may use. Cheap to clone.
#[derive(Clone)]
pub struct ApiContext {
    /// The database.
    pub store: Store,
    /// The broker.
    pub node: Node,
    /// The certificate authority.
    pub authority: LiveAuthority,
    /// Knows which access tokens are good.
    pub oauth: Provider,
    /// The accounts of people.
    pub accounts: Accounts,
    /// Rights over topics, which follow from ownership.
    pub rights: Arc<Rights>,
    /// Brings changes of owners and grants into force.
    pub sharing: Sharing,
    /// Keeps the record of what technicians look at.
    pub accesses: Arc<AccessLog>,
    /// How devices are claimed.
    pub claims: Arc<Claims>,
    /// Where people reach this server: the beginning of links.
    pub public_url: Arc<str>,
    /// Takes mails; none where no mails are sent.
    pub post: Option<PostBox>,
    /// Takes certificates back.
    pub revoker: Revoker,
    /// Tells others what is revoked.
    pub status: StatusDesk,
    /// How often one may ask for a certificate or claim a device.
    pub rates: Arc<RateLimits>,
    /// How long certificates are valid.
    pub lifetimes: Lifetimes,
    /// How long after its end a device's certificate can be renewed.
    pub grace: Grace,
}

/// How long certificates and enrolment secrets are valid.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of devices.
    pub device: Duration,
    /// Of apps and services.
    pub client: Duration,
    /// Of the enrolment secrets of devices that are made.
    pub enrolment_secret: Duration,
}

/// How devices are claimed.
#[derive(Clone, Debug)]
pub struct Claims {
    /// When a claim code is good.
    pub policy: ClaimPolicy,
    /// Where devices connect to, as the phone tells them: `mqtts://host:port`.
    pub endpoint: String,
    /// Whether a claim makes a password with which the device connects.
    pub device_passwords: bool,
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// To which address.
    pub to: String,
    /// What it is about: one line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// Takes mails and sends them by and by.
pub type PostBox = Arc<dyn Fn(Letter) + Send + Sync>;
