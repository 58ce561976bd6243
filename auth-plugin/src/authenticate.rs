//! Who a client is: from its certificate, by another method, or nobody where its listener allows that.

use std::collections::HashSet;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use mooring_certs::{DeviceId, LeafIdentity, SpiffeKind, TrustDomain};
use mooring_core::{Authenticate, Authenticating, ConnectAttempt, Identity, Principal, Refusal};
use mooring_protocol::{ReasonCode, TopicNameBuf};

use crate::clock::Clock;
use crate::device_password::DevicePasswords;
use crate::error::AuthError;
use crate::rights::Rights;
use crate::tls::RevokedSet;

/// The identity of whoever says nothing of who they are. No other identity can be it: all others have a colon.
pub const ANONYMOUS: &str = "anonymous";

/// Tells who a client is by its certificate; without one, it is anonymous where the listener allows that, and refused elsewhere.
///
/// The TLS layer has verified the certificate. It is asked here again whether it is revoked, expired or blocked, since a connection may reach
/// CONNECT later than its handshake, as over a WebSocket.
pub struct CertificateAuthenticator {
    trust_domain: TrustDomain,
    revoked: Arc<RevokedSet>,
    rights: Arc<Rights>,
    clock: Clock,
}

impl CertificateAuthenticator {
    /// For the clients of one trust domain. `rights` knows who is blocked.
    #[must_use]
    pub fn new(trust_domain: TrustDomain, revoked: Arc<RevokedSet>, rights: Arc<Rights>, clock: Clock) -> Self {
        Self { trust_domain, revoked, rights, clock }
    }

    /// Who it is, and, when it is a device, which.
    fn by_certificate(
        &self,
        leaf: &[u8],
        attempt: &ConnectAttempt<'_>,
    ) -> Result<(Principal, Option<DeviceId>), Refusal> {
        let leaf = LeafIdentity::read(leaf).map_err(|error| not_authorized(AuthError::from(error).to_string()))?;
        let id = &leaf.spiffe_id;
        if id.trust_domain != self.trust_domain {
            return Err(not_authorized(AuthError::ForeignTrustDomain(id.trust_domain.to_string()).to_string()));
        }
        let device = match &id.kind {
            SpiffeKind::Device(device) => Some(*device),
            SpiffeKind::Client(_) => None,
            SpiffeKind::Server(_) => return Err(not_authorized(AuthError::NotAClient.to_string())),
        };
        let serial = leaf.serial.to_string();
        if self.revoked.contains(leaf.issuer_id, leaf.serial) {
            return Err(not_authorized(format!("the certificate {serial} of {id} is revoked")));
        }
        let now_s = i64::try_from((self.clock)() / 1000).unwrap_or(i64::MAX);
        if !(leaf.not_before.unix_timestamp()..=leaf.not_after.unix_timestamp()).contains(&now_s) {
            return Err(not_authorized(format!("the certificate {serial} of {id} is not valid at this time")));
        }
        let identity = Identity::new(&id.to_string());
        if self.rights.is_blocked(&identity) {
            return Err(not_authorized(format!("{id} is blocked")));
        }
        let presence_topic = device.and_then(|device| TopicNameBuf::parse(&format!("devices/{device}/presence")).ok());
        Ok((principal(identity, Some(serial.into()), presence_topic, attempt), device))
    }
}

impl Authenticate for CertificateAuthenticator {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        Box::pin(ready(match attempt.peer_certificate {
            Some(leaf) => self.by_certificate(leaf, &attempt).map(|(principal, _)| principal),
            None => anonymous(&attempt),
        }))
    }
}

impl fmt::Debug for CertificateAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthenticator").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

/// What a method says to a CONNECT, when it has decided: `None` when the CONNECT does not concern it.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Option<Result<Principal, Refusal>>> + Send + 'a>>;

/// A way to tell who a client is besides its certificate: a token, a password, a webhook.
pub trait Method: Send + Sync {
    /// Decides, or passes the CONNECT on to the next method.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a>;
}

impl<M: Method + ?Sized> Method for Arc<M> {
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        M::decide(self, attempt)
    }
}

/// Asks the certificate first. Without one, a user name or password says who it is, on the listeners that take passwords: each method is asked
/// in turn until one decides, and who gives a user name or password that none of them knows is refused, also where anonymous clients are welcome.
///
/// Elsewhere a user name or password says nothing: the client is anonymous where the listener allows that, and refused where it does not.
pub struct Authenticators {
    certificate: CertificateAuthenticator,
    methods: Vec<Box<dyn Method>>,
    password_listeners: HashSet<Box<str>>,
    device_passwords: Option<Arc<DevicePasswords>>,
}

impl Authenticators {
    /// The methods are asked in this order; `password_listeners` names the listeners that take passwords.
    #[must_use]
    pub fn new(
        certificate: CertificateAuthenticator,
        methods: Vec<Box<dyn Method>>,
        password_listeners: impl IntoIterator<Item = Box<str>>,
    ) -> Self {
        let password_listeners = password_listeners.into_iter().collect();
        Self { certificate, methods, password_listeners, device_passwords: None }
    }

    /// Asks devices for a password beside their certificate, as the policy of these says.
    #[must_use]
    pub fn with_device_passwords(self, device_passwords: Arc<DevicePasswords>) -> Self {
        Self { device_passwords: Some(device_passwords), ..self }
    }

    async fn by_credentials(&self, attempt: &ConnectAttempt<'_>) -> Result<Principal, Refusal> {
        for method in &self.methods {
            if let Some(decided) = method.decide(*attempt).await {
                return decided;
            }
        }
        Err(bad_credentials("the user name or password is not known"))
    }
}

impl Authenticate for Authenticators {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        Box::pin(async move {
            if let Some(leaf) = attempt.peer_certificate {
                let (principal, device) = self.certificate.by_certificate(leaf, &attempt)?;
                if let (Some(passwords), Some(device)) = (&self.device_passwords, device) {
                    passwords.check(device, &attempt).await?;
                }
                return Ok(principal);
            }
            let names_somebody = attempt.connect.username.is_some() || attempt.connect.password.is_some();
            if names_somebody && self.password_listeners.contains(attempt.listener) {
                return self.by_credentials(&attempt).await;
            }
            anonymous(&attempt)
        })
    }
}

impl fmt::Debug for Authenticators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticators").field("methods", &self.methods.len()).finish_non_exhaustive()
    }
}

fn anonymous(attempt: &ConnectAttempt<'_>) -> Result<Principal, Refusal> {
    /// The same for all of them: there may be many.
    static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::new(ANONYMOUS));
    if attempt.allow_anonymous {
        return Ok(principal(IDENTITY.clone(), None, None, attempt));
    }
    if attempt.connect.username.is_some() || attempt.connect.password.is_some() {
        return Err(bad_credentials("no certificate, and this listener takes no passwords"));
    }
    Err(not_authorized("no certificate and no credentials, and this listener lets nobody in without".to_owned()))
}

/// Whoever was let in, with what the transport says of the connection.
pub(crate) fn principal(
    identity: Identity,
    certificate_serial: Option<Arc<str>>,
    presence_topic: Option<TopicNameBuf>,
    attempt: &ConnectAttempt<'_>,
) -> Principal {
    Principal {
        identity,
        client_id: None,
        certificate_serial,
        presence_topic,
        address: attempt.address.into(),
        listener: attempt.listener.into(),
    }
}

pub(crate) fn bad_credentials(why: impl Into<Arc<str>>) -> Refusal {
    Refusal { reason: ReasonCode::BadUserNameOrPassword, why: why.into() }
}

/// It may be the right one, but that can't be found out now: it is refused all the same.
pub(crate) fn cannot_tell(reason: ReasonCode, why: impl Into<Arc<str>>) -> Refusal {
    Refusal { reason, why: why.into() }
}

fn not_authorized(why: String) -> Refusal {
    Refusal { reason: ReasonCode::NotAuthorized, why: why.into() }
}
