//! People: by ownership and by grants, while they last.

use std::sync::atomic::Ordering;

use mooring_auth::{Grant, Role, Scope};
use mooring_core::{Access, Identity};
use uuid::Uuid;

use crate::desk::{A, B, Desk, FRIEND, GRANT, OWNER, Publish, Subscribe, client, device, id, of};

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
    assert!(Scope::ALL.iter().all(|scope| Scope::from_name(&scope.name()).as_ref() == Some(scope)));
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
fn a_technician_for_one_command_sends_that_one_alone() {
    let scopes = ["command:self-test", "command:", "command:a/b", "command:+"].map(str::to_owned);
    let role = Role::from_names("technician", &scopes).unwrap();
    assert_eq!(role, Role::Technician(vec![Scope::Command("self-test".into())]), "what is no name gives no right");
    let desk = Desk::shared_as(role, None);
    let technician = client(FRIEND);
    desk.allows(&technician, Publish, &of(A, "commands/self-test"), "grant: technician");
    for topic in ["commands/start", "commands/self-test/result/1", "commands/self-tests", "commands"] {
        desk.denies(&technician, Publish, &of(A, topic), "no right of this person includes");
    }
    desk.allows(&technician, Subscribe, &of(A, "commands/self-test/result/+"), "grant: technician");
    for filter in ["commands/start/result/+", "commands/+/result/+", "commands/self-test/#", "telemetry"] {
        desk.denies(&technician, Subscribe, &of(A, filter), "no right of this person includes");
    }
}

#[test]
fn what_a_technician_is_allowed_is_told_to_the_watch() {
    let desk = Desk::shared_as(Role::Technician(vec![Scope::LogsRead, Scope::Command("start".into())]), None);
    let (told, seen) = std::sync::mpsc::channel();
    desk.rights.watch_technicians(move |user, device, what| told.send((user, device, what.to_owned())).unwrap());
    for (action, rest) in [(Subscribe, "logs"), (Subscribe, "telemetry"), (Publish, "commands/start")] {
        desk.asks(&client(FRIEND), action, &of(A, rest));
    }
    desk.asks(&client(OWNER), Subscribe, &of(A, "logs"));
    assert_eq!(
        seen.try_iter().collect::<Vec<_>>(),
        ["logs", "commands/start"].map(|rest| (FRIEND, id(A), rest.to_owned()))
    );
}
