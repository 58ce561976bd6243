//! Taking certificates back: on record, in the live set, on every connection, and in what is left of the sessions. A receipt says what was done.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mooring_auth::{RevokedSet, Rights};
use mooring_certs::{ClientUuid, DeviceId, KeyId, Serial, SpiffeId, SpiffeKind, TrustDomain};
use mooring_core::{Identity, SessionInfo, SessionKey, SessionSelector};
use mooring_protocol::ReasonCode;
use mooring_server::{Node, Publish};
use mooring_store::{Certificate, CertificateHolder, RevocationReason, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Takes certificates back: in the database always, and at once on every connection when there is a running broker.
#[derive(Clone)]
pub struct Revoker {
    store: Store,
    live: Option<LiveBroker>,
    revision: Arc<AtomicU64>,
}

/// What has to hear of a revocation at once.
#[derive(Clone)]
pub struct LiveBroker {
    /// The broker.
    pub node: Node,
    /// Who may do what.
    pub rights: Arc<Rights>,
    /// The certificates that no handshake accepts.
    pub revoked: Arc<RevokedSet>,
    /// The trust domain of the ids in certificates.
    pub trust_domain: TrustDomain,
}

/// What is to be taken back, why, and on whose word.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub target: Target,
    /// Why.
    pub reason: Reason,
    /// Whether sessions, their queues and wills, and the device's retained messages go, too.
    pub purge: bool,
    /// Who says so, for the audit log.
    pub actor: String,
}

/// What is to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One certificate.
    Certificate(Serial),
    /// Every certificate of a device. With a new secret it may enrol again.
    CertificatesOfDevice(Uuid),
    /// The device itself: it never connects again.
    Device(Uuid),
}

/// Why a certificate is revoked: the names of RFC 5280, 5.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// No reason given.
    #[default]
    Unspecified,
    /// The private key is, or may be, known to others.
    KeyCompromise,
    /// The issuer's key is, or may be, known to others.
    #[serde(rename = "cACompromise")]
    CaCompromise,
    /// The holder belongs to another now.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The holder is out of service.
    CessationOfOperation,
    /// A right was taken away.
    PrivilegeWithdrawn,
}

/// What a revocation did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What was done: `certificate.revoke` or `device.retire`.
    pub action: &'static str,
    /// To what.
    #[schema(example = "device:019edb57-0000-7000-8000-000000000000")]
    pub subject: String,
    /// Whether a running broker heard of it. Without one, the next start does.
    pub live: bool,
    /// The certificates that are revoked now.
    pub certificates: Vec<RevokedCertificate>,
    /// How many connections were closed.
    pub connections_closed: usize,
    /// How long it took from the database's word until they were, milliseconds.
    pub closed_within_ms: f64,
    /// The sessions of the holders, as they were before.
    pub sessions: Vec<SessionReceipt>,
    /// Retained messages that were removed.
    pub retained_purged: Vec<String>,
}

/// A certificate that is revoked now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RevokedCertificate {
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The key identifier of the intermediate that signed it.
    pub issuer: String,
    /// Whose it is.
    #[schema(example = "device:019edb57-0000-7000-8000-000000000000")]
    pub holder: String,
    /// When it was revoked: the first time counts.
    #[serde(with = "time::serde::rfc3339")]
    pub revoked_at: OffsetDateTime,
    /// Why: the first reason counts.
    pub reason: Reason,
    /// Whether it had been revoked before.
    pub already: bool,
}

/// A session of a holder.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionReceipt {
    /// The client id.
    pub client_id: String,
    /// Where it was connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_from: Option<String>,
    /// Its subscriptions.
    pub subscriptions: usize,
    /// Messages that waited for it.
    pub queued_messages: usize,
    /// Whether it is gone now, with its subscriptions, its queue and its will.
    pub purged: bool,
}

impl Revoker {
    /// Tells a running broker, too, when there is one.
    #[must_use]
    pub fn new(store: Store, live: Option<LiveBroker>) -> Self {
        Self { store, live, revision: Arc::default() }
    }

    /// Whether the live set has this certificate.
    #[must_use]
    pub fn is_revoked(&self, issuer: KeyId, serial: Serial) -> bool {
        self.live.as_ref().is_some_and(|live| live.revoked.contains(issuer, serial))
    }

    /// Moves with each revocation: what was made of another revision may miss one.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Does it. The database comes first: what it has not taken, no connection is closed for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Invalid`] for a purge without a running broker, or the database is away; once the revocation is
    /// on record, an error of the audit log leaves it in force.
    pub async fn execute(&self, order: &Order) -> Result<Receipt, StoreError> {
        if order.purge && self.live.is_none() {
            return Err(StoreError::Invalid {
                what: "a purge needs the running server, which holds the sessions".into(),
            });
        }
        let now = OffsetDateTime::now_utc();
        let certificates = self.record(order, now).await?;
        self.revision.fetch_add(1, Ordering::Release);
        let recorded = Instant::now();
        let mut receipt = Receipt::new(order, now, &certificates);
        if let Some(live) = &self.live {
            receipt.live = true;
            live.enforce(order, &certificates, &mut receipt).await;
            receipt.closed_within_ms = recorded.elapsed().as_secs_f64() * 1000.0;
            if order.purge {
                live.purge(order, &certificates, &mut receipt).await;
            }
        }
        let detail = json!({
            "reason": order.reason,
            "serials": receipt.certificates.iter().map(|certificate| certificate.serial.as_str()).collect::<Vec<_>>(),
            "purge": order.purge,
            "connections_closed": receipt.connections_closed,
            "sessions_purged": receipt.sessions.iter().filter(|session| session.purged).count(),
            "retained_purged": receipt.retained_purged.len(),
        });
        self.store.append_audit(&order.actor, receipt.action, &receipt.subject, &detail, now).await?;
        tracing::info!(
            actor = order.actor,
            action = receipt.action,
            subject = receipt.subject,
            certificates = receipt.certificates.len(),
            connections_closed = receipt.connections_closed,
            "certificates revoked"
        );
        Ok(receipt)
    }

    /// Writes it down, and gives all certificates of the target that are revoked now.
    async fn record(&self, order: &Order, now: OffsetDateTime) -> Result<Vec<Certificate>, StoreError> {
        let device = match order.target {
            Target::Certificate(serial) => {
                let revoked = self.store.revoke_certificate(&serial.to_string(), order.reason.into(), now).await?;
                return Ok(vec![revoked]);
            }
            Target::CertificatesOfDevice(device) => {
                self.store.revoke_certificates_of_device(device, order.reason.into(), now).await?;
                device
            }
            Target::Device(device) => {
                self.store.retire_device(device, now).await?;
                device
            }
        };
        let mut certificates = self.store.certificates_of_device(device).await?;
        certificates.retain(|certificate| certificate.revoked.is_some());
        Ok(certificates)
    }
}

impl LiveBroker {
    /// Handshakes first, so that nobody who is thrown out comes back, then the connections.
    async fn enforce(&self, order: &Order, certificates: &[Certificate], receipt: &mut Receipt) {
        self.revoked.extend(certificates.iter().filter_map(live_entry));
        let retired = match order.target {
            Target::Device(device) => Some(DeviceId::from(device)),
            Target::Certificate(_) | Target::CertificatesOfDevice(_) => None,
        };
        if let Some(device) = retired {
            self.rights.block(self.rights.device_identity(device));
        }
        let holders = self.holders(order, certificates);
        receipt.sessions = self.sessions_of(&holders).await.into_iter().map(SessionReceipt::of).collect();
        let why = format!("the certificate is revoked: {}", order.reason);
        for certificate in certificates {
            let selector = SessionSelector::CertificateSerial(certificate.serial.as_str().into());
            receipt.connections_closed +=
                self.node.disconnect(selector, ReasonCode::AdministrativeAction, &why, order.purge).await;
        }
        if let Some(device) = retired {
            let selector = SessionSelector::Identity(self.rights.device_identity(device));
            let why = "the device is retired";
            receipt.connections_closed +=
                self.node.disconnect(selector, ReasonCode::AdministrativeAction, why, order.purge).await;
            for identity in self.rights.set_owner(device, None) {
                self.node.access_changed(Some(&identity));
            }
        }
    }

    /// What nobody is connected to any more: sessions with their queues, subscriptions and wills, and what is retained for the device. A session that
    /// another, valid certificate of the same holder uses stays.
    async fn purge(&self, order: &Order, certificates: &[Certificate], receipt: &mut Receipt) {
        let holders = self.holders(order, certificates);
        for session in self.sessions_of(&holders).await.into_iter().filter(|session| session.connected_from.is_none()) {
            let selector = SessionSelector::Session(session.key);
            self.node.disconnect(selector, ReasonCode::AdministrativeAction, "purged with its certificate", true).await;
        }
        let left: Vec<SessionKey> = self.sessions_of(&holders).await.into_iter().map(|session| session.key).collect();
        let is_left = |client_id: &str| left.iter().any(|key| key.client_id.as_str() == client_id);
        for session in &mut receipt.sessions {
            session.purged = !is_left(&session.client_id);
        }
        if left.is_empty() {
            for device in devices_of(order, certificates) {
                self.purge_retained(device, &mut receipt.retained_purged).await;
            }
        }
    }

    async fn purge_retained(&self, device: Uuid, purged: &mut Vec<String>) {
        for topic in self.node.retained_topics_below(&format!("devices/{device}")).await {
            // An empty retained message removes the one that is there [MQTT-3.3.1-6].
            let removal = Publish { retain: true, ..Publish::new(topic.clone(), Vec::new()) };
            if self.node.publish(removal).await.is_ok() {
                purged.push(topic.as_str().to_owned());
            }
        }
    }

    async fn sessions_of(&self, holders: &[Identity]) -> Vec<SessionInfo> {
        let mut sessions = self.node.sessions().await;
        sessions.retain(|session| holders.contains(&session.key.identity));
        sessions
    }

    fn holders(&self, order: &Order, certificates: &[Certificate]) -> Vec<Identity> {
        let devices = devices_of(order, certificates).into_iter().map(|id| SpiffeKind::Device(DeviceId::from(id)));
        let clients = certificates.iter().filter_map(|certificate| match certificate.holder {
            CertificateHolder::Client(id) => Some(SpiffeKind::Client(ClientUuid::from(id))),
            CertificateHolder::Device(_) | CertificateHolder::Server(_) => None,
        });
        let ids = devices.chain(clients).map(|kind| SpiffeId { trust_domain: self.trust_domain.clone(), kind });
        ids.map(|id| Identity::new(&id.to_string())).collect()
    }
}

fn devices_of(order: &Order, certificates: &[Certificate]) -> Vec<Uuid> {
    match order.target {
        Target::CertificatesOfDevice(device) | Target::Device(device) => vec![device],
        Target::Certificate(_) => certificates
            .iter()
            .filter_map(|certificate| match certificate.holder {
                CertificateHolder::Device(id) => Some(id),
                CertificateHolder::Client(_) | CertificateHolder::Server(_) => None,
            })
            .collect(),
    }
}

fn live_entry(certificate: &Certificate) -> Option<(KeyId, Serial)> {
    let entry = certificate.issuer.parse().ok().zip(certificate.serial.parse().ok());
    if entry.is_none() {
        tracing::error!(serial = certificate.serial, "a revoked certificate has an unreadable number");
    }
    entry
}

impl Receipt {
    fn new(order: &Order, now: OffsetDateTime, certificates: &[Certificate]) -> Self {
        let (action, subject) = match order.target {
            Target::Certificate(serial) => ("certificate.revoke", format!("certificate:{serial}")),
            Target::CertificatesOfDevice(device) => ("certificate.revoke", format!("device:{device}")),
            Target::Device(device) => ("device.retire", format!("device:{device}")),
        };
        Self {
            at: now,
            action,
            subject,
            live: false,
            certificates: certificates
                .iter()
                .filter_map(|certificate| RevokedCertificate::of(certificate, now))
                .collect(),
            connections_closed: 0,
            closed_within_ms: 0.0,
            sessions: Vec::new(),
            retained_purged: Vec::new(),
        }
    }
}

impl RevokedCertificate {
    fn of(certificate: &Certificate, now: OffsetDateTime) -> Option<Self> {
        let (revoked_at, reason) = certificate.revoked?;
        Some(Self {
            serial: certificate.serial.clone(),
            issuer: certificate.issuer.clone(),
            holder: match &certificate.holder {
                CertificateHolder::Device(id) => format!("device:{id}"),
                CertificateHolder::Client(id) => format!("client:{id}"),
                CertificateHolder::Server(name) => format!("server:{name}"),
            },
            revoked_at,
            reason: reason.into(),
            // The database keeps microseconds.
            already: now - revoked_at >= time::Duration::microseconds(1),
        })
    }
}

impl SessionReceipt {
    fn of(session: SessionInfo) -> Self {
        Self {
            client_id: session.key.client_id.as_str().to_owned(),
            connected_from: session.connected_from.map(|from| from.to_string()),
            subscriptions: session.subscriptions,
            queued_messages: session.queued,
            purged: false,
        }
    }
}

impl Reason {
    /// Every reason, with its name in RFC 5280.
    pub const NAMES: [(Self, &'static str); 7] = [
        (Self::Unspecified, "unspecified"),
        (Self::KeyCompromise, "keyCompromise"),
        (Self::CaCompromise, "cACompromise"),
        (Self::AffiliationChanged, "affiliationChanged"),
        (Self::Superseded, "superseded"),
        (Self::CessationOfOperation, "cessationOfOperation"),
        (Self::PrivilegeWithdrawn, "privilegeWithdrawn"),
    ];
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::NAMES.iter().find(|(reason, _)| reason == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl FromStr for Reason {
    type Err = String;

    /// In any case of letters.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        named.map(|(reason, _)| *reason).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is no reason of RFC 5280; those are {}", names.join(", "))
        })
    }
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

impl From<RevocationReason> for Reason {
    fn from(reason: RevocationReason) -> Self {
        match reason {
            RevocationReason::Unspecified => Self::Unspecified,
            RevocationReason::KeyCompromise => Self::KeyCompromise,
            RevocationReason::CaCompromise => Self::CaCompromise,
            RevocationReason::AffiliationChanged => Self::AffiliationChanged,
            RevocationReason::Superseded => Self::Superseded,
            RevocationReason::CessationOfOperation => Self::CessationOfOperation,
            RevocationReason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}
