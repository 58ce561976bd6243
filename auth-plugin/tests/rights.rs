//! Who may publish and subscribe to what: tables of (identity, action, topic), named for the attacks that they stop.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mooring_auth::{ANONYMOUS, AnonymousPolicy, Grant, Rights, Role, RuleSet, Scope};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Access, Identity, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};
use proptest::prelude::*;
use uuid::Uuid;

const A: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const B: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
const OWNER: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0001);
const FRIEND: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0002);
const GRANT: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0009);

use Action::{Publish, Subscribe};

/// What a row of a table asks.
#[derive(Clone, Copy, Debug)]
enum Action {
    Publish,
    Subscribe,
}

/// Rights with a clock that the test moves.
struct Desk {
    rights: Rights,
    now_ms: Arc<AtomicU64>,
}

impl Desk {
    fn new() -> Self {
        Self::with_anonymous(AnonymousPolicy::Deny)
    }

    fn with_anonymous(policy: AnonymousPolicy) -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&now_ms);
        let rights = Rights::new(&TrustDomain::default(), policy, Arc::new(move || clock.load(Ordering::Relaxed)));
        Self { rights, now_ms }
    }

    /// Device A is the owner's, device B nobody's.
    fn owned() -> Self {
        let desk = Self::new();
        desk.rights.set_ownerships([(id(A), OWNER)]);
        desk
    }

    /// Device A is the owner's, and the friend has a part in it.
    fn shared_as(role: Role, until_unix_ms: Option<u64>) -> Self {
        let desk = Self::owned();
        desk.rights.grant(Grant { id: GRANT, device: id(A), user: FRIEND, role, until_unix_ms });
        desk
    }

    fn asks(&self, who: &str, action: Action, topic: &str) -> Verdict {
        let who = principal(who);
        match action {
            Publish => self.rights.publish(&who, TopicName::parse(topic).unwrap()),
            Subscribe => self.rights.subscribe(&who, TopicFilter::parse(topic).unwrap()),
        }
    }

    #[track_caller]
    fn allows(&self, who: &str, action: Action, topic: &str, rule: &str) {
        let verdict = self.asks(who, action, topic);
        assert!(verdict.allow, "{who} {action:?} {topic}: {}", verdict.rule);
        assert_eq!((verdict.reason, &*verdict.rule), (ReasonCode::Success, rule), "{who} {action:?} {topic}");
    }

    #[track_caller]
    fn denies(&self, who: &str, action: Action, topic: &str, says: &str) {
        let verdict = self.asks(who, action, topic);
        assert!(!verdict.allow, "{who} {action:?} {topic}: {}", verdict.rule);
        assert_eq!(verdict.reason, ReasonCode::NotAuthorized, "{who} {action:?} {topic}");
        assert!(verdict.rule.contains(says), "{who} {action:?} {topic}: {:?} does not say {says:?}", verdict.rule);
    }
}

fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

fn device(id: &str) -> String {
    format!("spiffe://mooring.local/device/{id}")
}

fn client(user: Uuid) -> String {
    format!("spiffe://mooring.local/client/{}", user.as_hyphenated())
}

fn principal(identity: &str) -> Principal {
    Principal {
        identity: Identity::new(identity),
        certificate_serial: None,
        presence_topic: None,
        address: "192.0.2.1:5".into(),
        listener: "tls".into(),
    }
}

fn of(device: &str, rest: &str) -> String {
    format!("devices/{device}/{rest}")
}

#[test]
fn a_device_publishes_what_goes_from_device_to_cloud() {
    let desk = Desk::new();
    for rest in [
        "telemetry",
        "events/door",
        "logs",
        "state/reported",
        "commands/start/result/7",
        "update/status",
        "certificate/request",
        "anything/of/its/own",
        "$internal",
    ] {
        desk.allows(&device(A), Publish, &of(A, rest), "device-own-topics");
    }
}

#[test]
fn a_device_does_not_speak_for_the_broker_or_the_cloud() {
    let desk = Desk::new();
    for rest in [
        "presence",
        "presence/x",
        "certificate",
        "certificate/request/x",
        "certificate/other",
        "state",
        "state/desired",
        "state/reported/x",
        "state/desired/x",
        "update",
        "update/status/x",
        "update/",
        "commands",
        "commands/start",
        "commands/start/result",
        "commands/start/result/",
        "commands//result/7",
        "commands/start/result/7/x",
        "commands/start/other/7",
    ] {
        desk.denies(&device(A), Publish, &of(A, rest), "for the broker and the cloud to publish");
    }
    desk.denies(&device(A), Publish, &format!("devices/{A}"), "below devices/<id>/");
}

#[test]
fn a_device_subscribes_anywhere_below_its_own_topics() {
    let desk = Desk::new();
    for rest in ["#", "+", "commands/+", "commands/#", "state/desired", "certificate", "update", "presence", "+/+/#"] {
        desk.allows(&device(A), Subscribe, &of(A, rest), "device-own-topics");
    }
    desk.allows(&device(A), Subscribe, &format!("devices/{A}"), "device-own-topics");
    desk.allows(&device(A), Subscribe, &format!("$share/g/devices/{A}/commands/+"), "device-own-topics");
}

#[test]
fn other_devices_topics() {
    let desk = Desk::new();
    for rest in ["telemetry", "commands/start", "state/desired", "presence", "events/door"] {
        desk.denies(&device(A), Publish, &of(B, rest), &format!("default-deny: devices/{B} is not this device's"));
        desk.denies(&device(A), Subscribe, &of(B, rest), &format!("default-deny: devices/{B} is not this device's"));
    }
    desk.denies(&device(A), Subscribe, &of(B, "#"), "is not this device's");
}

#[test]
fn wildcards_over_all_devices() {
    let desk = Desk::new();
    for filter in [
        "#",
        "+/#",
        "+/+/#",
        "devices/#",
        "devices/+/#",
        "devices/+/telemetry",
        "devices/+",
        "devices/+/+/+",
        &format!("+/{A}/#"),
        &format!("+/{A}/telemetry"),
        "$share/g/#",
        "$share/g/+/#",
        "$share/g/devices/#",
        "$share/g/devices/+/telemetry",
        &format!("$share/g/devices/{B}/telemetry"),
    ] {
        desk.denies(&device(A), Subscribe, filter, "default-deny");
    }
}

#[test]
fn topics_that_look_like_ones_own() {
    let desk = Desk::new();
    for topic in [
        format!("devices/{}/telemetry", A.to_uppercase()),
        format!("devices//{A}/telemetry"),
        format!("/devices/{A}/telemetry"),
        format!("Devices/{A}/telemetry"),
        format!("devices/{A}x/telemetry"),
        format!("devices/{A} /telemetry"),
        format!("devices/ {A}/telemetry"),
        format!("devices/../devices/{A}/telemetry"),
        format!("devices/{{{A}}}/telemetry"),
        format!("devices/{}/telemetry", A.replace('-', "")),
        format!("device/{A}/telemetry"),
        format!("devices/{}/telemetry", &A[..35]),
        "devices//telemetry".to_owned(),
        "devices/".to_owned(),
        "devices".to_owned(),
    ] {
        desk.denies(&device(A), Publish, &topic, "default-deny");
        desk.denies(&device(A), Subscribe, &topic, "default-deny");
    }
}

#[test]
fn sys_and_share_from_a_device() {
    let desk = Desk::new();
    for filter in
        ["$SYS/#", "$SYS", "$SYS/broker/clients/connected", "$share/g/$SYS/#", "$other/#", "$share/g/$share2/x"]
    {
        desk.denies(&device(A), Subscribe, filter, "default-deny");
    }
    desk.denies(&device(A), Publish, "$SYS/broker/version", "sys-topics");
    desk.denies(&device(A), Publish, "$SYS", "sys-topics");
    desk.denies(&device(A), Publish, &format!("$share/g/devices/{A}/telemetry"), "default-deny");
}

#[test]
fn names_that_are_no_identity_of_ours() {
    let desk = Desk::owned();
    for name in [
        "",
        A,
        "+",
        "#",
        "user:nobody",
        &format!("spiffe://other.domain/device/{A}"),
        &format!("spiffe://mooring.local.other/device/{A}"),
        &device("+"),
        &device("#"),
        &device(""),
        &device(&A.to_uppercase()),
        &device(&format!("{A}/x")),
        &format!("spiffe://mooring.local/server/{A}"),
        &format!("SPIFFE://mooring.local/device/{A}"),
        &client(OWNER).to_uppercase(),
    ] {
        for topic in [of(A, "telemetry"), of("+", "telemetry").replace('+', name.trim_matches(['+', '#']))] {
            desk.denies(name, Publish, &topic, "");
        }
        for filter in ["#", "devices/+/telemetry", "devices/#", &of(A, "#"), "$SYS/#"] {
            desk.denies(name, Subscribe, filter, "");
        }
    }
}

#[test]
fn an_owner_sees_all_of_a_device_and_commands_it() {
    let desk = Desk::owned();
    let owner = client(OWNER);
    for rest in ["#", "telemetry", "commands/+/result/+", "state/desired", "presence"] {
        desk.allows(&owner, Subscribe, &of(A, rest), "owner");
    }
    desk.allows(&owner, Subscribe, &format!("$share/g/{}", of(A, "#")), "owner");
    desk.allows(&owner, Publish, &of(A, "commands/start"), "owner");
}

#[test]
fn an_owner_does_not_speak_for_the_device_or_the_registry() {
    let desk = Desk::owned();
    for rest in [
        "telemetry",
        "events/door",
        "state/reported",
        "state/desired",
        "presence",
        "certificate",
        "update",
        "commands",
        "commands/",
        "commands/start/result/7",
        "commands/start/x",
    ] {
        desk.denies(&client(OWNER), Publish, &of(A, rest), "no right of this person includes");
    }
}

#[test]
fn an_owner_has_no_part_in_the_devices_of_others() {
    let desk = Desk::owned();
    desk.denies(&client(OWNER), Subscribe, &of(B, "#"), "has no part in");
    desk.denies(&client(OWNER), Publish, &of(B, "commands/start"), "has no part in");
    desk.denies(&client(FRIEND), Subscribe, &of(A, "telemetry"), "has no part in");
    for filter in ["#", "devices/#", "devices/+/telemetry", "$SYS/#", "home/kitchen"] {
        desk.denies(&client(OWNER), Subscribe, filter, "default-deny");
    }
}

#[test]
fn a_person_whose_id_is_that_of_a_device_is_not_the_device() {
    let desk = Desk::new();
    desk.denies(&format!("spiffe://mooring.local/client/{A}"), Publish, &of(A, "telemetry"), "has no part in");
    desk.denies(&format!("spiffe://mooring.local/client/{A}"), Subscribe, &of(A, "#"), "has no part in");
}

#[test]
fn a_guest_sees_and_a_member_commands() {
    let guest = Desk::shared_as(Role::Guest, None);
    guest.allows(&client(FRIEND), Subscribe, &of(A, "#"), "grant: guest");
    guest.denies(&client(FRIEND), Publish, &of(A, "commands/start"), "no right of this person includes");

    let member = Desk::shared_as(Role::Member, None);
    member.allows(&client(FRIEND), Subscribe, &of(A, "#"), "grant: member");
    member.allows(&client(FRIEND), Publish, &of(A, "commands/start"), "grant: member");
    member.denies(&client(FRIEND), Publish, &of(A, "telemetry"), "no right of this person includes");
    member.denies(&client(FRIEND), Subscribe, &of(B, "#"), "has no part in");
}

#[test]
fn a_technician_has_the_scopes_that_the_owner_chose() {
    let desk = Desk::shared_as(Role::Technician(vec![Scope::LogsRead, Scope::EventsRead, Scope::CommandsSend]), None);
    let technician = client(FRIEND);
    for filter in ["logs", "events/door", "events/+", "events/#", "commands/+/result/+", "commands/start/result/7"] {
        desk.allows(&technician, Subscribe, &of(A, filter), "grant: technician");
    }
    desk.allows(&technician, Publish, &of(A, "commands/start"), "grant: technician");
    for filter in ["#", "+", "telemetry", "state/#", "+/door", "logs/#", "presence", "commands/#", "commands/+", ""] {
        desk.denies(&technician, Subscribe, &of(A, filter), "no right of this person includes");
    }
    let reader = Desk::shared_as(Role::Technician(vec![Scope::CommandsRead]), None);
    reader.denies(&technician, Publish, &of(A, "commands/start"), "no right of this person includes");
    let nothing = Desk::shared_as(Role::Technician(Vec::new()), None);
    nothing.denies(&technician, Subscribe, &of(A, "logs"), "no right of this person includes");
}

#[test]
fn roles_are_read_from_their_names_and_unknown_scopes_give_nothing() {
    let scopes = ["logs:read".to_owned(), "everything".to_owned(), "*".to_owned()];
    assert_eq!(Role::from_names("technician", &scopes), Some(Role::Technician(vec![Scope::LogsRead])));
    assert_eq!(Role::from_names("guest", &scopes), Some(Role::Guest));
    assert_eq!(Role::from_names("member", &[]), Some(Role::Member));
    assert_eq!(Role::from_names("owner", &[]), None);
    assert!(Scope::ALL.iter().all(|scope| Scope::from_name(scope.name()) == Some(*scope)));
}

#[test]
fn a_grant_gives_nothing_from_its_date_on() {
    let desk = Desk::shared_as(Role::Guest, Some(2_000));
    desk.allows(&client(FRIEND), Subscribe, &of(A, "#"), "grant: guest");
    assert!(desk.rights.expire_grants().is_empty());

    desk.now_ms.store(2_000, Ordering::Relaxed);
    desk.denies(&client(FRIEND), Subscribe, &of(A, "#"), "grant-ended");
    let before = desk.rights.generation();
    assert_eq!(desk.rights.expire_grants(), [Identity::new(&client(FRIEND))]);
    assert_ne!(desk.rights.generation(), before, "so that the broker asks again");
    desk.denies(&client(FRIEND), Subscribe, &of(A, "#"), "has no part in");
    assert!(desk.rights.expire_grants().is_empty(), "once each");
}

#[test]
fn a_grant_that_is_taken_back_or_replaced() {
    let desk = Desk::shared_as(Role::Member, None);
    let replaced = desk.rights.grant(Grant {
        id: GRANT,
        device: id(B),
        user: OWNER,
        role: Role::Guest,
        until_unix_ms: Some(9_000),
    });
    assert_eq!(replaced, [Identity::new(&client(OWNER)), Identity::new(&client(FRIEND))]);
    desk.denies(&client(FRIEND), Subscribe, &of(A, "#"), "has no part in");
    desk.allows(&client(OWNER), Subscribe, &of(B, "#"), "grant: guest");

    assert_eq!(desk.rights.revoke_grant(GRANT), [Identity::new(&client(OWNER))]);
    desk.denies(&client(OWNER), Subscribe, &of(B, "#"), "has no part in");
    assert!(desk.rights.revoke_grant(GRANT).is_empty());
    desk.now_ms.store(10_000, Ordering::Relaxed);
    assert!(desk.rights.expire_grants().is_empty(), "nothing is left of it");
}

#[test]
fn a_sold_device_takes_nobody_along() {
    let desk = Desk::shared_as(Role::Member, None);
    let buyer = Uuid::from_u128(77);
    let mut expected = [client(OWNER), client(FRIEND), client(buyer)].map(|identity| Identity::new(&identity));
    expected.sort();
    assert_eq!(desk.rights.set_owner(id(A), Some(buyer)), expected);
    desk.denies(&client(OWNER), Subscribe, &of(A, "telemetry"), "has no part in");
    desk.denies(&client(FRIEND), Subscribe, &of(A, "telemetry"), "has no part in");
    desk.allows(&client(buyer), Subscribe, &of(A, "#"), "owner");
    assert_eq!(desk.rights.set_owner(id(A), None), [Identity::new(&client(buyer))]);
    desk.denies(&client(buyer), Subscribe, &of(A, "telemetry"), "has no part in");
}

#[test]
fn an_owner_named_again_keeps_the_guests() {
    let desk = Desk::shared_as(Role::Guest, None);
    desk.rights.set_owner(id(A), Some(OWNER));
    desk.allows(&client(FRIEND), Subscribe, &of(A, "#"), "grant: guest");
}

#[test]
fn a_bound_identity_has_the_rights_of_its_user_and_no_others() {
    let desk = Desk::owned();
    desk.denies("user:ana", Subscribe, &of(A, "#"), "nobody gave user:ana rights");
    desk.rights.bind(Identity::new("user:ana"), OWNER);
    desk.allows("user:ana", Subscribe, &of(A, "#"), "owner");
    assert_eq!(
        desk.rights.set_owner(id(B), Some(OWNER)),
        [Identity::new(&client(OWNER)), Identity::new("user:ana")],
        "every client of the user is named"
    );

    // A client certificate that carries the owner's id, and was given to the friend.
    desk.rights.bind(Identity::new(&client(OWNER)), FRIEND);
    desk.denies(&client(OWNER), Subscribe, &of(A, "#"), "has no part in");
    assert_eq!(desk.rights.set_owner(id(B), None), [Identity::new("user:ana")]);

    assert_eq!(
        desk.rights.user_identities(FRIEND),
        [client(OWNER), client(FRIEND)].map(|identity| Identity::new(&identity))
    );
    desk.rights.unbind(&Identity::new("user:ana"));
    desk.denies("user:ana", Subscribe, &of(A, "#"), "nobody gave");
}

#[test]
fn a_device_cannot_be_bound_to_a_person() {
    let desk = Desk::owned();
    desk.rights.bind(Identity::new(&device(B)), OWNER);
    desk.denies(&device(B), Subscribe, &of(A, "#"), "is not this device's");
}

#[test]
fn a_blocked_identity_may_do_nothing() {
    let desk = Desk::owned();
    desk.rights.set_rules(RuleSet::parse("[[rule]]\neffect = \"allow\"\ntopic = \"#\"").unwrap());
    for identity in [device(A), client(OWNER)] {
        desk.rights.block(Identity::new(&identity));
        desk.denies(&identity, Publish, &of(A, "telemetry"), "blocked");
        desk.denies(&identity, Subscribe, &of(A, "#"), "blocked");
    }
    desk.rights.unblock(&Identity::new(&device(A)));
    desk.allows(&device(A), Publish, &of(A, "telemetry"), "device-own-topics");
}

#[test]
fn only_operators_see_sys() {
    let desk = Desk::owned();
    let operator = Identity::new(&client(OWNER));
    desk.rights.set_operator(operator.clone(), true);
    for filter in ["$SYS/#", "$SYS/broker/+", "$SYS", "$share/g/$SYS/#"] {
        desk.allows(operator.as_str(), Subscribe, filter, "operator-sees-sys");
    }
    desk.allows(operator.as_str(), Subscribe, &of(A, "#"), "owner");
    desk.denies(operator.as_str(), Subscribe, "#", "default-deny");
    desk.denies(operator.as_str(), Subscribe, "$SYStem/#", "default-deny");
    desk.denies(operator.as_str(), Publish, "$SYS/broker/version", "sys-topics");
    desk.rights.set_operator(operator.clone(), false);
    desk.denies(operator.as_str(), Subscribe, "$SYS/#", "default-deny");
}

#[test]
fn anonymous_clients_have_nothing_or_everything() {
    let closed = Desk::new();
    closed.denies(ANONYMOUS, Publish, "a", "anonymous clients have no rights");
    closed.denies(ANONYMOUS, Subscribe, "#", "anonymous clients have no rights");

    let open = Desk::with_anonymous(AnonymousPolicy::AllowAll);
    for (action, topic) in
        [(Publish, "a/b"), (Publish, "$odd"), (Subscribe, "#"), (Subscribe, "$SYS/#"), (Subscribe, "$share/g/#")]
    {
        open.allows(ANONYMOUS, action, topic, "anonymous-allow-all");
    }
    open.denies(ANONYMOUS, Publish, "$SYS/broker/version", "sys-topics");
    open.denies(&device(A), Publish, &of(B, "telemetry"), "is not this device's");
}

#[test]
fn every_change_moves_the_generation() {
    let desk = Desk::owned();
    let rights = &desk.rights;
    let mut last = rights.generation();
    let mut moved = |what: &str| {
        assert_ne!(rights.generation(), last, "{what}");
        last = rights.generation();
    };
    rights.set_ownerships([]);
    moved("set_ownerships");
    rights.set_owner(id(A), Some(OWNER));
    moved("set_owner");
    rights.set_grants([]);
    moved("set_grants");
    rights.grant(Grant { id: GRANT, device: id(A), user: FRIEND, role: Role::Guest, until_unix_ms: None });
    moved("grant");
    rights.revoke_grant(GRANT);
    moved("revoke_grant");
    rights.bind(Identity::new("user:ana"), OWNER);
    moved("bind");
    rights.unbind(&Identity::new("user:ana"));
    moved("unbind");
    rights.block(Identity::new("user:ana"));
    moved("block");
    rights.unblock(&Identity::new("user:ana"));
    moved("unblock");
    rights.set_operator(Identity::new("user:ana"), true);
    moved("set_operator");
    rights.set_rules(RuleSet::default());
    moved("set_rules");
}

#[test]
fn what_a_peer_sends_is_short_and_harmless_in_the_reason() {
    let desk = Desk::new();
    let verdict = desk.asks(&device(A), Publish, &format!("devices/\n\u{1b}[31m{}/x", "y".repeat(9_000)));
    assert!(verdict.rule.len() < 200 && !verdict.rule.contains(['\n', '\u{1b}']), "{}", verdict.rule);
}

/// Levels that collide with what matters, and some that do not.
fn level() -> impl Strategy<Value = String> {
    let known = [
        "devices",
        A,
        B,
        "telemetry",
        "commands",
        "start",
        "result",
        "7",
        "state",
        "desired",
        "reported",
        "presence",
        "update",
        "status",
        "certificate",
        "request",
        "$SYS",
        "$share",
        "",
        "x",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z+#]{1,3}"]
}

/// Topic names, most of them below one of two devices.
fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/"));
    let below = (prop::sample::select(vec![A, B]), prop::collection::vec(level(), 0..4))
        .prop_map(|(device, levels)| format!("devices/{device}/{}", levels.join("/")));
    prop_oneof![levels, below].prop_filter("a topic name", |text| TopicName::parse(text).is_ok())
}

fn filter() -> impl Strategy<Value = String> {
    let wild = prop_oneof![6 => level(), 3 => Just("+".to_owned())];
    let levels = prop::collection::vec(wild, 1..6);
    (levels, any::<bool>(), any::<bool>(), prop::sample::select(vec![A, B]))
        .prop_map(|(mut levels, hash, below, device)| {
            if below {
                levels.splice(0..0, ["devices".to_owned(), device.to_owned()]);
            }
            if hash {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
        .prop_filter("a topic filter", |text| TopicFilter::parse(text).is_ok())
}

proptest! {
    #[test]
    fn what_a_device_may_subscribe_to_matches_no_topic_of_another(filter in filter(), topic in topic()) {
        let desk = Desk::new();
        if desk.asks(&device(A), Subscribe, &filter).allow {
            let parsed = TopicFilter::parse(&filter).unwrap();
            let own = format!("devices/{A}/#");
            prop_assert!(TopicFilter::parse(&own).unwrap().contains(parsed));
            if parsed.matches(TopicName::parse(&topic).unwrap()) {
                prop_assert!(topic.starts_with(&format!("devices/{A}")), "{topic}");
            }
        }
    }

    #[test]
    fn a_device_that_may_publish_is_below_its_own_topics(topic in topic()) {
        let desk = Desk::new();
        if desk.asks(&device(A), Publish, &topic).allow {
            let own = format!("devices/{A}/");
            prop_assert!(topic.starts_with(&own), "{topic}");
        }
    }

    #[test]
    fn what_a_technician_may_subscribe_to_is_contained_in_a_scope(filter in filter(), scope in prop::sample::select(Scope::ALL.to_vec())) {
        let desk = Desk::shared_as(Role::Technician(vec![scope]), None);
        if desk.asks(&client(FRIEND), Subscribe, &filter).allow {
            let root = scope.name().split(':').next().unwrap();
            let bound = format!("devices/{A}/{root}/#");
            prop_assert!(TopicFilter::parse(&bound).unwrap().contains(TopicFilter::parse(&filter).unwrap()), "{filter}");
        }
    }
}
