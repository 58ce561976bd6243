//! What holds for all: unknown names, anonymous clients, operators, the blocked, and the generation.

use mooring_auth::{ANONYMOUS, AnonymousPolicy, Grant, Role, RuleSet};
use mooring_core::{Access, Identity};

use crate::desk::{A, B, Desk, FRIEND, GRANT, OWNER, Publish, Subscribe, client, device, id, of};

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
