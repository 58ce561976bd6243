//! The operator's rule file: what its rules decide, and what is said of a file that does not parse.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

use std::sync::Arc;

use mooring_auth::rules::RULES_MAX;
use mooring_auth::{ANONYMOUS, AnonymousPolicy, Rights, RuleSet};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Access, Identity, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};
use uuid::Uuid;

const A: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const DEVICE: &str = "spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057";

struct Desk(Rights);

impl Desk {
    fn with(rules: &str) -> Self {
        Self::with_anonymous(AnonymousPolicy::Deny, rules)
    }

    fn with_anonymous(policy: AnonymousPolicy, rules: &str) -> Self {
        let rights = Rights::new(&TrustDomain::default(), policy, Arc::new(|| 1_000));
        rights.set_rules(RuleSet::parse(rules).unwrap());
        Self(rights)
    }

    fn publish(&self, who: &str, topic: &str) -> Verdict {
        self.0.publish(&principal(who), TopicName::parse(topic).unwrap())
    }

    fn subscribe(&self, who: &str, filter: &str) -> Verdict {
        self.0.subscribe(&principal(who), TopicFilter::parse(filter).unwrap())
    }
}

fn principal(identity: &str) -> Principal {
    Principal {
        identity: Identity::new(identity),
        client_id: None,
        certificate_serial: None,
        presence_topic: None,
        address: "192.0.2.1:5".into(),
        listener: "tcp".into(),
    }
}

fn principal_with_client(identity: &str, client_id: &str) -> Principal {
    Principal { client_id: Some(client_id.into()), ..principal(identity) }
}

#[track_caller]
fn allowed(verdict: &Verdict, rule: &str) {
    assert_eq!((verdict.allow, &*verdict.rule, verdict.reason), (true, rule, ReasonCode::Success));
}

#[track_caller]
fn denied(verdict: &Verdict, rule: &str) {
    assert!(!verdict.allow && verdict.rule.starts_with(rule), "{verdict:?}");
}

#[test]
fn an_allowing_rule_adds_to_what_follows_from_ownership() {
    let desk = Desk::with(
        r##"
        [[rule]]
        name = "laundry"
        effect = "allow"
        who = "device"
        topic = "laundry/#"
        "##,
    );
    allowed(&desk.publish(DEVICE, "laundry/queue"), "laundry");
    allowed(&desk.subscribe(DEVICE, "laundry/+/x"), "laundry");
    allowed(&desk.publish(DEVICE, &format!("devices/{A}/telemetry")), "device-own-topics");
    denied(&desk.subscribe(DEVICE, "+/queue"), "default-deny");
    denied(&desk.publish("user:ana", "laundry/queue"), "default-deny");
    denied(&desk.publish(ANONYMOUS, "laundry/queue"), "default-deny");
}

#[test]
fn a_denying_rule_takes_from_what_follows_from_ownership() {
    let desk = Desk::with(
        r#"
        [[rule]]
        name = "no-logs"
        effect = "deny"
        topic = "devices/+/logs"
        reason = 0x97
        "#,
    );
    let verdict = desk.publish(DEVICE, &format!("devices/{A}/logs"));
    denied(&verdict, "no-logs");
    assert_eq!(verdict.reason, ReasonCode::QuotaExceeded);
    allowed(&desk.publish(DEVICE, &format!("devices/{A}/telemetry")), "device-own-topics");
    // A wider filter is no way around a denial, nor is a shared one.
    for filter in ["#", "+", "logs"] {
        denied(&desk.subscribe(DEVICE, &format!("devices/{A}/{filter}")), "no-logs");
        denied(&desk.subscribe(DEVICE, &format!("$share/g/devices/{A}/{filter}")), "no-logs");
    }
    allowed(&desk.subscribe(DEVICE, &format!("devices/{A}/commands/#")), "device-own-topics");
}

#[test]
fn the_first_rule_that_applies_decides() {
    let desk = Desk::with(
        r##"
        [[rule]]
        effect = "allow"
        topic = "plant/public/#"
        [[rule]]
        effect = "deny"
        topic = "plant/#"
        [[rule]]
        effect = "allow"
        topic = "plant/late"
        "##,
    );
    allowed(&desk.publish("user:ana", "plant/public/x"), "rule 1");
    denied(&desk.publish("user:ana", "plant/late"), "rule 2");
    allowed(&desk.subscribe("user:ana", "plant/public/#"), "rule 1");
    denied(&desk.subscribe("user:ana", "plant/+/x"), "rule 2");
    denied(&desk.subscribe("user:ana", "#"), "rule 2");
}

#[test]
fn actions_and_subjects_are_told_apart() {
    let desk = Desk::with(
        r#"
        [[rule]]
        effect = "allow"
        action = "publish"
        who = "anonymous"
        topic = "in"
        [[rule]]
        effect = "allow"
        action = "subscribe"
        who = "person"
        topic = "out"
        [[rule]]
        effect = "allow"
        who = "user:ana"
        topic = "hers"
        "#,
    );
    allowed(&desk.publish(ANONYMOUS, "in"), "rule 1");
    denied(&desk.subscribe(ANONYMOUS, "in"), "default-deny");
    allowed(&desk.subscribe("user:bob", "out"), "rule 2");
    denied(&desk.publish("user:bob", "out"), "default-deny");
    denied(&desk.subscribe(DEVICE, "out"), "default-deny");
    denied(&desk.subscribe(ANONYMOUS, "out"), "default-deny");
    allowed(&desk.publish("user:ana", "hers"), "rule 3");
    denied(&desk.publish("user:anna", "hers"), "default-deny");
}

#[test]
fn a_test_broker_refuses_one_filter_and_nothing_wider() {
    let desk = Desk::with_anonymous(
        AnonymousPolicy::AllowAll,
        r#"
        [[rule]]
        effect = "deny"
        action = "subscribe"
        filter = "test/nosubscribe"
        reason = 0x80
        "#,
    );
    let verdict = desk.subscribe(ANONYMOUS, "test/nosubscribe");
    denied(&verdict, "rule 1");
    assert_eq!(verdict.reason, ReasonCode::UnspecifiedError);
    for filter in ["#", "test/#", "test/+"] {
        allowed(&desk.subscribe(ANONYMOUS, filter), "anonymous-allow-all");
    }
    allowed(&desk.publish(ANONYMOUS, "test/nosubscribe"), "anonymous-allow-all");
}

#[test]
fn places_are_filled_with_the_subject() {
    let desk = Desk::with(
        r##"
        [[rule]]
        effect = "allow"
        topic = "fleet/{device}/#"
        [[rule]]
        effect = "allow"
        topic = "home/{identity}/#"
        "##,
    );
    allowed(&desk.publish(DEVICE, &format!("fleet/{A}/x")), "rule 1");
    allowed(&desk.subscribe(DEVICE, &format!("fleet/{A}/#")), "rule 1");
    denied(&desk.subscribe(DEVICE, "fleet/#"), "default-deny");
    denied(&desk.subscribe(DEVICE, "fleet/+/x"), "default-deny");
    denied(&desk.publish("user:ana", &format!("fleet/{A}/x")), "default-deny");
    denied(&desk.publish("user:ana", "fleet//x"), "default-deny");
    allowed(&desk.publish("user:ana", "home/user:ana/light"), "rule 2");
    denied(&desk.publish("user:ana", "home/user:bob/light"), "default-deny");
}

#[test]
fn ids_with_wildcards_in_patterns_never_widen_a_rule() {
    let allow = Desk::with("[[rule]]\neffect = \"allow\"\ntopic = \"home/{identity}/light\"");
    let first = Desk::with("[[rule]]\neffect = \"allow\"\ntopic = \"{identity}/#\"");
    for name in ["user:+", "+", "#", "user:#", "user:a/b", "a/b", "", "user:/", "$SYS", "$share"] {
        for topic in ["home/x/light", "home/a/b/light", "home//light", "a/b/x", "x"] {
            denied(&allow.publish(name, topic), "default-deny");
            if !name.starts_with("user:") {
                denied(&first.publish(name, topic), "default-deny");
            }
        }
        for filter in ["home/+/light", "home/#", "+/#", "#", "$SYS/#", "$SYS/broker/x", "+/x"] {
            denied(&allow.subscribe(name, filter), "default-deny");
            denied(&first.subscribe(name, filter), "default-deny");
        }
    }
}

#[test]
fn ids_with_wildcards_in_patterns_never_narrow_a_denial() {
    let desk = Desk::with_anonymous(
        AnonymousPolicy::AllowAll,
        r#"
        [[rule]]
        effect = "deny"
        topic = "private/{client}/x"
        [[rule]]
        effect = "allow"
        topic = "private/+/x"
        "#,
    );
    denied(&desk.publish(ANONYMOUS, "private/anybody/x"), "rule 1");
    denied(&desk.subscribe(ANONYMOUS, "private/+/x"), "rule 1");
    denied(&desk.publish("user:a/b", "private/b/x"), "rule 1");
}

#[test]
fn a_rule_gives_nobody_the_broker_s_own_voice() {
    let desk = Desk::with(
        r##"
        [[rule]]
        effect = "allow"
        topic = "$SYS/#"
        [[rule]]
        effect = "allow"
        topic = "#"
        "##,
    );
    allowed(&desk.subscribe("user:ops", "$SYS/broker/#"), "rule 1");
    denied(&desk.publish("user:ops", "$SYS/broker/version"), "sys-topics");
    allowed(&desk.publish("user:ops", "any/topic"), "rule 2");
}

#[test]
fn new_rules_take_the_place_of_the_old_ones() {
    let desk = Desk::with("[[rule]]\neffect = \"allow\"\ntopic = \"a\"");
    allowed(&desk.publish("user:ana", "a"), "rule 1");
    let before = desk.0.generation();
    desk.0.set_rules(RuleSet::parse("").unwrap());
    assert_ne!(desk.0.generation(), before);
    denied(&desk.publish("user:ana", "a"), "default-deny");
}

#[test]
fn a_rule_outlives_a_change_of_ownership() {
    let desk = Desk::with(
        "[[rule]]\nname = \"held\"\neffect = \"deny\"\nwho = \"person\"\naction = \"publish\"\ntopic = \"devices/+/commands/#\"",
    );
    let owner = Uuid::from_u128(5);
    desk.0.set_owner(DeviceId::parse(A).unwrap(), Some(owner));
    let client = format!("spiffe://mooring.local/client/{owner}");
    denied(&desk.publish(&client, &format!("devices/{A}/commands/start")), "held");
    allowed(&desk.subscribe(&client, &format!("devices/{A}/#")), "owner");
}

#[test]
fn a_file_that_does_not_parse_is_refused_with_its_line() {
    fn check(toml: &str, line: usize, says: &str) {
        let error = RuleSet::parse(toml).unwrap_err();
        assert!(error.line == line && error.what.contains(says), "{error} (wanted line {line}, {says:?}) of {toml}");
    }
    let rule = |body: &str| format!("# A comment.\n\n[[rule]]\n{body}");
    check("rule = 5", 1, "invalid type");
    check("\n\n[[rules]]\n", 3, "unknown field `rules`");
    check(&rule("effect = \"permit\"\ntopic = \"a\""), 4, "unknown variant `permit`");
    check(&rule("effect = \"allow\"\ntopics = \"a\""), 5, "unknown field `topics`");
    check(&rule("topic = \"a\""), 3, "missing field `effect`");
    check(&rule("effect = \"allow\"\naction = \"read\"\ntopic = \"a\""), 5, "unknown variant `read`");
    check(&rule("effect = \"allow\""), 3, "either a topic or a filter");
    check(&rule("effect = \"allow\"\ntopic = \"a\"\nfilter = \"a\""), 3, "either a topic or a filter");
    check(&rule("effect = \"allow\"\ntopic = \"a/#/b\""), 5, "in the last level");
    check(&rule("effect = \"allow\"\ntopic = \"\""), 5, "at least one character");
    check(&rule("effect = \"allow\"\ntopic = \"a/x{client}\""), 5, "stands alone between slashes");
    check(&rule("effect = \"allow\"\ntopic = \"a/{owner}\""), 5, "stands alone between slashes");
    check(&rule("effect = \"allow\"\ntopic = \"$share/g/a\""), 5, "write them without it");
    check(&rule("effect = \"allow\"\nfilter = \"a\""), 5, "goes with action");
    check(&rule("effect = \"deny\"\naction = \"subscribe\"\nfilter = \"a+\""), 6, "stands alone in");
    check(&rule("effect = \"allow\"\ntopic = \"a\"\nreason = 0x87"), 6, "has no reason");
    check(&rule("effect = \"deny\"\ntopic = \"a\"\nreason = 0x00"), 6, "0x80 or above");
    check(&rule("effect = \"deny\"\ntopic = \"a\"\nreason = 0xff"), 6, "0x80 or above");
    check(&rule("effect = \"deny\"\ntopic = \"a\"\nreason = 999"), 6, "");
    check(&rule("effect = \"deny\"\ntopic = \"a\"\nwho = \"somebody\""), 6, "who is everybody");
    check(&rule("effect = \"deny\"\ntopic = \"a\" x"), 5, "");
    check(
        &format!("{}\n\n[[rule]]\neffect = \"allow\"\ntopic = \"+x\"", rule("effect = \"deny\"\ntopic = \"a\"")),
        9,
        "stands alone in",
    );
}

#[test]
fn a_file_has_a_limit() {
    let one = "[[rule]]\neffect = \"deny\"\ntopic = \"a\"\n";
    assert_eq!(RuleSet::parse(&one.repeat(RULES_MAX)).unwrap().len(), RULES_MAX);
    let error = RuleSet::parse(&one.repeat(RULES_MAX + 1)).unwrap_err();
    assert_eq!((error.line, error.what.as_str()), (3 * RULES_MAX + 1, "more than 1000 rules"));
}

#[test]
fn a_rule_reload_half_way_through_a_subscribe_leaves_no_old_verdict_behind() {
    // The broker keeps a verdict under the generation that it read before it asked. A verdict that is older than that would stay for ever.
    let desk = Desk::with("");
    let first = desk.0.generation();
    let reloads = 300;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=reloads {
                let rules = format!("[[rule]]\nname = \"{number}\"\neffect = \"allow\"\ntopic = \"a\"");
                desk.0.set_rules(RuleSet::parse(&rules).unwrap());
            }
        });
        loop {
            let seen = desk.0.generation() - first;
            let rule = desk.subscribe("user:ana", "a").rule.parse::<u64>().unwrap_or_default();
            assert!(rule >= seen, "a verdict of rule file {rule} was given after {seen} was in force");
            if seen == reloads {
                break;
            }
        }
    });
}

#[test]
fn a_rule_for_a_client_id_is_for_that_client_alone() {
    let desk = Desk::with(
        r##"
        [[rule]]
        name = "own-corner"
        effect = "allow"
        topic = "corner/{client}/#"
        "##,
    );
    let may = |client: &str, filter: &str| {
        desk.0.subscribe(&principal_with_client("user:ana", client), TopicFilter::parse(filter).unwrap()).allow
    };
    assert!(may("phone", "corner/phone/#"));
    assert!(!may("phone", "corner/tablet/x"));
    assert!(!may("phone", "corner/+/x"));
    assert!(!desk.subscribe("user:ana", "corner/phone/#").allow, "whose client id is not known");
}

#[test]
fn attack_client_ids_with_wildcards_in_a_pattern() {
    let desk = Desk::with(
        r##"
        [[rule]]
        name = "not-its-logs"
        effect = "deny"
        topic = "corner/{client}/logs"
        [[rule]]
        name = "own-corner"
        effect = "allow"
        topic = "corner/{client}/#"
        [[rule]]
        effect = "allow"
        topic = "{client}/#"
        "##,
    );
    for client in ["+", "#", "+/x", "a/b", "", "a\0b", "$SYS", "$share"] {
        let who = principal_with_client("user:ana", client);
        for filter in ["#", "+/#", "corner/#", "corner/+/x", "corner/b/x", "corner/a/b/x", "$SYS/#", "corner//x"] {
            let verdict = desk.0.subscribe(&who, TopicFilter::parse(filter).unwrap());
            assert!(!verdict.allow, "{client:?} {filter}: {}", verdict.rule);
        }
        // What denies, denies every value.
        let verdict = desk.0.publish(&who, TopicName::parse("corner/somebody/logs").unwrap());
        if !client.starts_with('$') {
            assert_eq!(&*verdict.rule, "not-its-logs", "{client:?}");
        }
    }
}
