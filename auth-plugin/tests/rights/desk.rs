//! The desk at which the tests ask, and who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mooring_auth::{AnonymousPolicy, Grant, Rights, Role};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Access, Identity, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};
use uuid::Uuid;

pub(crate) const A: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const B: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
pub(crate) const OWNER: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0001);
pub(crate) const FRIEND: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0002);
pub(crate) const GRANT: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0009);

pub(crate) use Action::{Publish, Subscribe};

/// What a row of a table asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Publish,
    Subscribe,
}

/// Rights with a clock that the test moves.
pub(crate) struct Desk {
    pub(crate) rights: Rights,
    pub(crate) now_ms: Arc<AtomicU64>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_anonymous(AnonymousPolicy::Deny)
    }

    pub(crate) fn with_anonymous(policy: AnonymousPolicy) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&now_ms);
        let rights = Rights::new(&TrustDomain::default(), policy, Arc::new(move || clock.load(Ordering::Relaxed)));
        Self { rights, now_ms }
    }

    /// Device A is the owner's, device B nobody's.
    pub(crate) fn owned() -> Self {
        let desk = Self::new();
        desk.rights.set_ownerships([(id(A), OWNER)]);
        desk
    }

    /// Device A is the owner's, and the friend has a part in it.
    pub(crate) fn shared_as(role: Role, until_unix_ms: Option<u64>) -> Self {
        let desk = Self::owned();
        desk.rights.grant(Grant { id: GRANT, device: id(A), user: FRIEND, role, until_unix_ms });
        desk
    }

    pub(crate) fn asks(&self, who: &str, action: Action, topic: &str) -> Verdict {
        let who = principal(who);
        match action {
            Publish => self.rights.publish(&who, TopicName::parse(topic).unwrap()),
            Subscribe => self.rights.subscribe(&who, TopicFilter::parse(topic).unwrap()),
        }
    }

    #[track_caller]
    pub(crate) fn allows(&self, who: &str, action: Action, topic: &str, rule: &str) {
        let verdict = self.asks(who, action, topic);
        assert!(verdict.allow, "{who} {action:?} {topic}: {}", verdict.rule);
        assert_eq!((verdict.reason, &*verdict.rule), (ReasonCode::Success, rule), "{who} {action:?} {topic}");
    }

    #[track_caller]
    pub(crate) fn denies(&self, who: &str, action: Action, topic: &str, says: &str) {
        let verdict = self.asks(who, action, topic);
        assert!(!verdict.allow, "{who} {action:?} {topic}: {}", verdict.rule);
        assert_eq!(verdict.reason, ReasonCode::NotAuthorized, "{who} {action:?} {topic}");
        assert!(verdict.rule.contains(says), "{who} {action:?} {topic}: {:?} does not say {says:?}", verdict.rule);
    }
}

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

pub(crate) fn device(id: &str) -> String {
    format!("spiffe://mooring.local/device/{id}")
}

pub(crate) fn client(user: Uuid) -> String {
    format!("spiffe://mooring.local/client/{}", user.as_hyphenated())
}

pub(crate) fn principal(identity: &str) -> Principal {
    Principal {
        identity: Identity::new(identity),
        client_id: None,
        certificate_serial: None,
        presence_topic: None,
        address: "192.0.2.1:5".into(),
        listener: "tls".into(),
    }
}

pub(crate) fn of(device: &str, rest: &str) -> String {
    format!("devices/{device}/{rest}")
}
