//! Users of a file, by password.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_auth::{PasswordFile, PasswordFileMethod, PasswordHash, RuleSet};
use mooring_core::{Access as _, Identity};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};

use crate::door::{Door, rights};

fn users(passwords: &[(&str, &str)]) -> PasswordFile {
    let line =
        |(name, password): &(&str, &str)| format!("{name}:{}\n", PasswordHash::make(password.as_bytes()).unwrap());
    PasswordFile::parse(&passwords.iter().map(line).collect::<String>()).unwrap()
}

fn door(passwords: &[(&str, &str)]) -> Door {
    let rights = rights();
    Door::new(&rights, PasswordFileMethod::new(users(passwords), Arc::clone(&rights), 2).unwrap())
}

#[tokio::test]
async fn a_user_comes_in_by_name_and_password() {
    let door = door(&[("ana", "sesame"), ("bert", "other")]);
    let principal = door.knock(Some("ana"), b"sesame").await.unwrap();
    assert_eq!(principal.identity, Identity::new("user:ana"));
    assert!(principal.certificate_serial.is_none() && principal.presence_topic.is_none());
}

#[tokio::test]
async fn attack_wrong_password_or_another_users_or_none() {
    let door = door(&[("ana", "sesame"), ("bert", "other")]);
    for (name, password) in
        [("ana", "other"), ("ana", ""), ("ana", "sesame "), ("Ana", "sesame"), ("", "sesame"), ("eve", "sesame")]
    {
        door.is_refused(Some(name), password.as_bytes(), ReasonCode::BadUserNameOrPassword, "").await;
    }
    door.is_refused(None, b"sesame", ReasonCode::BadUserNameOrPassword, "not known").await;
}

#[tokio::test]
async fn attack_names_that_look_like_other_identities() {
    let device = "spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057";
    let door = door(&[("anonymous", "x"), ("user", "x")]);
    assert_eq!(door.knock(Some("anonymous"), b"x").await.unwrap().identity, Identity::new("user:anonymous"));
    for name in ["user:user", device] {
        door.is_refused(Some(name), b"x", ReasonCode::BadUserNameOrPassword, "not known").await;
    }
}

/// The least of a few runs: what a processor's other work adds is left out.
async fn fastest(door: &Door, name: &str) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let before = Instant::now();
        door.knock(Some(name), b"wrong").await.unwrap_err();
        fastest = fastest.min(before.elapsed());
    }
    fastest
}

#[tokio::test]
async fn attack_find_user_names_by_the_time_of_the_answer() {
    let door = door(&[("ana", "sesame")]);
    let (known, unknown) = (fastest(&door, "ana").await, fastest(&door, "eve").await);
    // Without the work for an unknown name it takes microseconds instead of milliseconds.
    assert!(unknown > known / 2 && known > unknown / 2, "known: {known:?}, unknown: {unknown:?}");
}

#[tokio::test]
async fn without_users_nobody_comes_in() {
    door(&[]).is_refused(Some("ana"), b"", ReasonCode::BadUserNameOrPassword, "not known").await;
}

#[tokio::test]
async fn whoever_is_gone_or_has_another_password_is_named_and_does_not_come_in() {
    let rights = rights();
    let method =
        Arc::new(PasswordFileMethod::new(users(&[("ana", "a"), ("bert", "b")]), Arc::clone(&rights), 1).unwrap());
    let door = Door::new(&rights, Arc::clone(&method));
    door.knock(Some("ana"), b"a").await.unwrap();
    let mut gone = method.replace(users(&[("ana", "new")]));
    gone.sort();
    assert_eq!(gone, [Identity::new("user:ana"), Identity::new("user:bert")]);
    door.is_refused(Some("ana"), b"a", ReasonCode::BadUserNameOrPassword, "wrong").await;
    door.is_refused(Some("bert"), b"b", ReasonCode::BadUserNameOrPassword, "not known").await;
    door.knock(Some("ana"), b"new").await.unwrap();
}

#[tokio::test]
async fn attack_user_name_with_wildcards_widens_no_pattern() {
    let rights = rights();
    let rules = "[[rule]]\neffect = \"allow\"\ntopic = \"home/{user}/#\"\n[[rule]]\neffect = \"allow\"\ntopic = \"id/{identity}\"\n";
    rights.set_rules(RuleSet::parse(rules).unwrap());
    let names = ["ana", "+", "#", "a/b", "ana/#", "$SYS"];
    let door = {
        let passwords: Vec<_> = names.iter().filter(|name| !name.starts_with('#')).map(|name| (*name, "x")).collect();
        Door::new(&rights, PasswordFileMethod::new(users(&passwords), Arc::clone(&rights), 2).unwrap())
    };
    for name in names.into_iter().filter(|name| !name.starts_with('#')) {
        let who = door.knock(Some(name), b"x").await.unwrap();
        let may_publish = |topic: &str| rights.publish(&who, TopicName::parse(topic).unwrap()).allow;
        let may_subscribe = |filter: &str| rights.subscribe(&who, TopicFilter::parse(filter).unwrap()).allow;
        let is_level = !name.contains(['/', '+', '#']);
        assert_eq!(is_level && may_publish(&format!("home/{name}/lamp")), is_level, "{name}");
        assert_eq!(is_level && may_subscribe(&format!("home/{name}/#")), is_level, "{name}");
        for wide in ["home/+/lamp", "home/#", "#", "home/+/#", "id/+", "home/bert/lamp", "home/ana/#", "home/a/b/lamp"]
        {
            let own = is_level && wide == format!("home/{name}/#");
            assert_eq!(may_subscribe(wide), own, "{name} subscribes to {wide}");
        }
    }
}
