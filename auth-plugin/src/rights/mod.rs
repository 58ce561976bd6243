//! What a client may publish and subscribe to. Deny by default; rights follow from what the client is and from who owns which device.

mod device;
mod grant;
mod people;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;
use mooring_certs::{ClientUuid, DeviceId, TrustDomain};
use mooring_core::{Access, Identity, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};
use uuid::Uuid;

pub use grant::{Grant, Role, Scope};

use crate::address::{DeviceAddress, quoted};
use crate::authenticate::ANONYMOUS;
use crate::clock::Clock;
use crate::journal::DecisionJournal;
use crate::rules::{Asked, Effect, RuleSet, Subject};
use people::{People, Right};

/// What clients may do that say nothing of who they are. The rules of the operator come first either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnonymousPolicy {
    /// Nothing.
    #[default]
    Deny,
    /// Everything but publish below `$SYS`: for test brokers and benchmarks.
    AllowAll,
}

/// The rights of everybody, in memory. The order of decision:
///
/// 1. a blocked identity may do nothing, and nobody publishes below `$SYS`;
/// 2. the first rule of the operator that applies, when it denies;
/// 3. what the client is: a device below its own topics, a person by ownership and grants, an operator in `$SYS`, anonymous by policy;
/// 4. that first rule, when it allows;
/// 5. no.
///
/// Each method that changes something takes effect with the next verdict, and names the identities whose live subscriptions may be too wide
/// now: the caller hands them to the broker's `access_changed`.
pub struct Rights {
    device_prefix: String,
    client_prefix: String,
    anonymous: AnonymousPolicy,
    clock: Clock,
    rules: ArcSwap<RuleSet>,
    people: RwLock<People>,
    generation: AtomicU64,
    grounds: Grounds,
    technicians: OnceLock<TechnicianWatch>,
    journal: Option<Arc<DecisionJournal>>,
}

/// Hears who, on which device, was allowed what: the levels after `devices/<id>/`.
type TechnicianWatch = Box<dyn Fn(Uuid, DeviceId, &str) + Send + Sync>;

/// The names of the rules that allow, made once: an allowed message costs no text.
struct Grounds {
    device: Arc<str>,
    owner: Arc<str>,
    member: Arc<str>,
    guest: Arc<str>,
    technician: Arc<str>,
    operator: Arc<str>,
    anonymous: Arc<str>,
}

/// Who asks, as far as rights follow from it.
enum Who<'a> {
    /// A device; the text of its id, in canonical form.
    Device(&'a str),
    /// A person, or a client of one.
    Person(Uuid),
    Anonymous,
    Unknown,
}

/// The rule that allows, or why none does.
type Ground = Result<Arc<str>, String>;

impl Rights {
    /// Rights in which nobody owns anything yet.
    #[must_use]
    pub fn new(trust_domain: &TrustDomain, anonymous: AnonymousPolicy, clock: Clock) -> Self {
        Self {
            device_prefix: format!("spiffe://{trust_domain}/device/"),
            client_prefix: format!("spiffe://{trust_domain}/client/"),
            anonymous,
            clock,
            rules: ArcSwap::from_pointee(RuleSet::default()),
            people: RwLock::default(),
            generation: AtomicU64::new(0),
            grounds: Grounds::new(),
            technicians: OnceLock::new(),
            journal: None,
        }
    }

    /// Notes each decision there from now on.
    #[must_use]
    pub fn with_journal(self, journal: Arc<DecisionJournal>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    fn decide_and_note(&self, who: &Principal, asked: Asked<'_>) -> Verdict {
        let verdict = self.decide(who, asked);
        if let Some(journal) = &self.journal {
            journal.note(who, asked, &verdict, (self.clock)());
        }
        verdict
    }

    /// Has `watch` hear of all that technicians are allowed: their access is in the owner's sight. One watch for good; it is called under a lock and
    /// for each verdict, so it must neither wait nor ask the rights.
    pub fn watch_technicians(&self, watch: impl Fn(Uuid, DeviceId, &str) + Send + Sync + 'static) {
        // A second watch is a mistake of the caller, and the first one stays.
        let _ = self.technicians.set(Box::new(watch));
    }

    /// Replaces the rules of the operator. Everybody's rights may have changed.
    pub fn set_rules(&self, rules: RuleSet) {
        self.rules.store(Arc::new(rules));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Says who owns what, all of it: at the start. Everybody's rights may have changed.
    pub fn set_ownerships(&self, ownerships: impl IntoIterator<Item = (DeviceId, Uuid)>) {
        self.change(|people| people.set_owners(ownerships));
    }

    /// A device was claimed, or given up with `None`: the grants of the owner before end with the ownership.
    pub fn set_owner(&self, device: DeviceId, owner: Option<Uuid>) -> Vec<Identity> {
        let users = self.change(|people| people.set_owner(device, owner));
        self.identities_of(users)
    }

    /// Says what is granted, all of it: at the start. Everybody's rights may have changed.
    pub fn set_grants(&self, grants: impl IntoIterator<Item = Grant>) {
        self.change(|people| people.set_grants(grants));
    }

    /// Lets somebody in. A grant with the id of one that exists takes its place.
    pub fn grant(&self, grant: Grant) -> Vec<Identity> {
        let users = self.change(|people| people.grant(grant));
        self.identities_of(users)
    }

    /// Takes a grant back. Names nobody when there is none with this id.
    pub fn revoke_grant(&self, id: Uuid) -> Vec<Identity> {
        let users = self.change(|people| people.revoke_grant(id));
        self.identities_of(users)
    }

    /// Ends the grants whose date has come. To be called about once a second: a verdict looks at the date itself, but the broker keeps
    /// verdicts, and subscriptions, until it hears of a change.
    pub fn expire_grants(&self) -> Vec<Identity> {
        let now_ms = (self.clock)();
        if !self.people().has_ended_grants(now_ms) {
            return Vec::new();
        }
        let users = self.change(|people| people.expire_grants(now_ms));
        self.identities_of(users)
    }

    /// Says whose client an identity is: a password user, or a client certificate that does not carry its user's own id.
    pub fn bind(&self, identity: Identity, user: Uuid) {
        self.change(|people| people.bind(identity, user));
    }

    /// Forgets whose client an identity is.
    pub fn unbind(&self, identity: &Identity) {
        self.change(|people| people.unbind(identity));
    }

    /// Makes an identity an operator's, who may see `$SYS`, or no longer.
    pub fn set_operator(&self, identity: Identity, operator: bool) {
        self.change(|people| people.set_operator(identity, operator));
    }

    /// Takes every right of an identity: a retired device, a user who is shut out. CONNECTs are refused too.
    pub fn block(&self, identity: Identity) {
        self.change(|people| people.blocked.insert(identity));
    }

    /// Gives a blocked identity its rights back.
    pub fn unblock(&self, identity: &Identity) {
        self.change(|people| people.blocked.remove(identity));
    }

    /// Whether an identity is blocked.
    #[must_use]
    pub fn is_blocked(&self, identity: &Identity) -> bool {
        self.people().blocked.contains(identity)
    }

    /// Every identity with which this user connects: to block them, or to end their connections, when the user goes.
    #[must_use]
    pub fn user_identities(&self, user: Uuid) -> Vec<Identity> {
        self.identities_of(vec![user])
    }

    /// The identity with which a person's own client connects; none when it was bound to somebody else.
    #[must_use]
    pub fn person_identity(&self, user: Uuid) -> Option<Identity> {
        let own = Identity::new(&format!("{}{}", self.client_prefix, user.as_hyphenated()));
        self.people().user_of(&own).is_none_or(|bound| bound == user).then_some(own)
    }

    /// The identity of a device.
    #[must_use]
    pub fn device_identity(&self, device: DeviceId) -> Identity {
        Identity::new(&format!("{}{device}", self.device_prefix))
    }

    /// What is decided of somebody whose rights another system knows before that is asked: a block, or a rule of the operator.
    pub(crate) fn ruling(&self, who: &Principal, asked: Asked<'_>) -> Option<Verdict> {
        if let Some(verdict) = self.forbidden(who, asked) {
            return Some(verdict);
        }
        let class = self.classify(&who.identity);
        let (identity, client) = (who.identity.as_str(), who.client_id.as_deref());
        let rules = self.rules.load();
        let rule = rules.first_match(&Subject { identity, client, device: class.device() }, asked)?;
        Some(match rule.effect {
            Effect::Allow => allow(Arc::clone(&rule.name)),
            Effect::Deny(reason) => deny(reason, Arc::clone(&rule.name)),
        })
    }

    /// What no rule can allow.
    fn forbidden(&self, who: &Principal, asked: Asked<'_>) -> Option<Verdict> {
        if self.is_blocked(&who.identity) {
            return Some(deny(ReasonCode::NotAuthorized, "blocked: this identity has no rights any more".into()));
        }
        asked
            .publishes_below_sys()
            .then(|| deny(ReasonCode::NotAuthorized, "sys-topics: only the broker publishes below $SYS".into()))
    }

    fn decide(&self, who: &Principal, asked: Asked<'_>) -> Verdict {
        if let Some(verdict) = self.forbidden(who, asked) {
            return verdict;
        }
        let class = self.classify(&who.identity);
        let rules = self.rules.load();
        let subject =
            Subject { identity: who.identity.as_str(), client: who.client_id.as_deref(), device: class.device() };
        let ruling = rules.first_match(&subject, asked);
        if let Some(rule) = ruling
            && let Effect::Deny(reason) = rule.effect
        {
            return deny(reason, Arc::clone(&rule.name));
        }
        match (self.ground(&class, &who.identity, asked), ruling) {
            (Ok(rule), _) => allow(rule),
            (Err(_), Some(rule)) => allow(Arc::clone(&rule.name)),
            (Err(why), None) => deny(ReasonCode::NotAuthorized, why.into()),
        }
    }

    fn classify<'a>(&self, identity: &'a Identity) -> Who<'a> {
        let text = identity.as_str();
        if let Some(id) = text.strip_prefix(&self.device_prefix) {
            return if DeviceId::parse(id).is_ok() { Who::Device(id) } else { Who::Unknown };
        }
        if text == ANONYMOUS {
            return Who::Anonymous;
        }
        if let Some(user) = self.people().user_of(identity) {
            return Who::Person(user);
        }
        // A person's first client carries the person's own id.
        let own = text.strip_prefix(&self.client_prefix).and_then(|id| ClientUuid::parse(id).ok());
        own.map_or(Who::Unknown, |id| Who::Person(id.uuid()))
    }

    /// What the client may by what it is, without the operator's rules.
    fn ground(&self, class: &Who<'_>, identity: &Identity, asked: Asked<'_>) -> Ground {
        if asked.is_below_sys() && self.people().is_operator(identity) {
            return Ok(Arc::clone(&self.grounds.operator));
        }
        match *class {
            Who::Device(id) => device::may(id, asked).map(|()| Arc::clone(&self.grounds.device)),
            Who::Person(user) => self.person_may(user, asked),
            Who::Anonymous if self.anonymous == AnonymousPolicy::AllowAll => Ok(Arc::clone(&self.grounds.anonymous)),
            Who::Anonymous => Err("default-deny: anonymous clients have no rights here".to_owned()),
            Who::Unknown => Err(format!("default-deny: nobody gave {} rights", quoted(identity.as_str()))),
        }
    }

    fn person_may(&self, user: Uuid, asked: Asked<'_>) -> Ground {
        let Some(address) = DeviceAddress::split(asked.text()) else {
            return Err("default-deny: the rights of a person are below devices/<id>/ alone".to_owned());
        };
        let Ok(device) = DeviceId::parse(address.id) else {
            return Err(format!("default-deny: devices/{} names no single device", quoted(address.id)));
        };
        let now_ms = (self.clock)();
        let people = self.people();
        let mut why = "default-deny: this person has no part in";
        for right in people.rights(user, device) {
            match right {
                Right::Owner if grant::owner_may(address.rest, asked) => return Ok(Arc::clone(&self.grounds.owner)),
                Right::Grant(grant) if grant.has_ended(now_ms) => {
                    why = "grant-ended: this person's time is over with";
                    continue;
                }
                Right::Grant(grant) if grant.role.may(address.rest, asked) => {
                    if let (Role::Technician(_), Some(watch)) = (&grant.role, self.technicians.get()) {
                        watch(user, device, address.rest.unwrap_or_default());
                    }
                    return Ok(Arc::clone(self.grounds.of_role(&grant.role)));
                }
                Right::Owner | Right::Grant(_) => {
                    why = "default-deny: no right of this person includes this topic of";
                }
            }
        }
        Err(format!("{why} devices/{device}"))
    }

    fn people(&self) -> RwLockReadGuard<'_, People> {
        self.people.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation moves after the change: who reads the new number sees the change.
    fn change<R>(&self, change: impl FnOnce(&mut People) -> R) -> R {
        let result = change(&mut self.people.write().unwrap_or_else(PoisonError::into_inner));
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    fn identities_of(&self, users: Vec<Uuid>) -> Vec<Identity> {
        let mut identities = Vec::new();
        for user in users {
            // A client certificate that carries this id but was bound to somebody else is that other's.
            identities.extend(self.person_identity(user));
            identities.extend(self.people().bound_to(user));
        }
        identities.sort();
        identities.dedup();
        identities
    }
}

impl Access for Rights {
    fn publish(&self, who: &Principal, topic: TopicName<'_>) -> Verdict {
        self.decide_and_note(who, Asked::Publish(topic))
    }

    fn subscribe(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict {
        self.decide_and_note(who, Asked::Subscribe(filter.inner()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rights").field("device_prefix", &self.device_prefix).finish_non_exhaustive()
    }
}

impl<'a> Who<'a> {
    fn device(&self) -> Option<&'a str> {
        match *self {
            Who::Device(id) => Some(id),
            Who::Person(_) | Who::Anonymous | Who::Unknown => None,
        }
    }
}

impl Grounds {
    fn new() -> Self {
        Self {
            device: "device-own-topics".into(),
            owner: "owner".into(),
            member: "grant: member".into(),
            guest: "grant: guest".into(),
            technician: "grant: technician".into(),
            operator: "operator-sees-sys".into(),
            anonymous: "anonymous-allow-all".into(),
        }
    }

    fn of_role(&self, role: &Role) -> &Arc<str> {
        match role {
            Role::Guest => &self.guest,
            Role::Member => &self.member,
            Role::Technician(_) => &self.technician,
        }
    }
}

fn allow(rule: Arc<str>) -> Verdict {
    Verdict { allow: true, reason: ReasonCode::Success, rule }
}

fn deny(reason: ReasonCode, rule: Arc<str>) -> Verdict {
    Verdict { allow: false, reason, rule }
}
