//! Sessions of browsers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mooring_accounts::{AccountsError, Ended, Hooks, Visitor};
use uuid::Uuid;

use crate::bench::{ADA, Bench, visitor};

#[tokio::test]
async fn a_session_is_found_by_its_cookie_until_it_ends() {
    let bench = Bench::new().await;
    let signed_in = bench.sign_up(ADA).await;
    let browser = Visitor { user_agent: "Browser\u{7} 1.0".to_owned(), ..visitor() };
    let made = bench.accounts.create_session(&signed_in, &browser, None).await.unwrap();
    let found = bench.accounts.find_session(made.token.reveal()).await.unwrap().unwrap();
    assert_eq!(found, made.session);
    assert_eq!(
        (found.user_agent.as_str(), found.address.as_str(), found.amr.as_slice()),
        ("Browser 1.0", "192.0.2.1", &["pwd".to_owned()][..])
    );
    for token in ["", "x", &"A".repeat(43)] {
        assert_eq!(bench.accounts.find_session(token).await.unwrap(), None);
    }
    bench.accounts.end_session(signed_in.user, found.id).await.unwrap();
    assert_eq!(bench.accounts.find_session(made.token.reveal()).await.unwrap(), None);
    let again = bench.accounts.end_session(signed_in.user, found.id).await;
    assert!(matches!(again, Err(AccountsError::NotFound("session"))));
}

#[tokio::test]
async fn a_session_ends_unused_after_two_weeks_and_used_after_ninety_days() {
    let bench = Bench::new().await;
    let signed_in = bench.sign_up(ADA).await;
    let unused = bench.accounts.create_session(&signed_in, &visitor(), None).await.unwrap().token;
    let used = bench.accounts.create_session(&signed_in, &visitor(), None).await.unwrap().token;
    for day in 1..90 {
        bench.wait(Duration::from_secs(86_400));
        assert!(bench.accounts.find_session(used.reveal()).await.unwrap().is_some(), "day {day}");
    }
    assert!(bench.accounts.find_session(unused.reveal()).await.unwrap().is_none());
    bench.wait(Duration::from_secs(86_400));
    assert!(bench.accounts.find_session(used.reveal()).await.unwrap().is_none());
    bench.accounts.tidy().await.unwrap();
    assert_eq!(bench.accounts.sessions(signed_in.user).await.unwrap(), []);
}

#[tokio::test]
async fn attack_session_fixation_a_planted_cookie_is_worth_nothing_after_the_sign_in() {
    let bench = Bench::new().await;
    let eve = bench.sign_up("eve@example.com").await;
    let planted = bench.accounts.create_session(&eve, &visitor(), None).await.unwrap().token;
    let ada = bench.sign_up(ADA).await;
    let new = bench.accounts.create_session(&ada, &visitor(), Some(planted.reveal())).await.unwrap();
    assert_ne!(new.token.reveal(), planted.reveal());
    assert!(bench.accounts.find_session(planted.reveal()).await.unwrap().is_none());
    assert_eq!(bench.accounts.find_session(new.token.reveal()).await.unwrap().unwrap().user, ada.user);
    // A token that the attacker made up is taken for none.
    let made_up = "A".repeat(43);
    let new = bench.accounts.create_session(&ada, &visitor(), Some(&made_up)).await.unwrap();
    assert!(bench.accounts.find_session(&made_up).await.unwrap().is_none() && new.token.reveal() != made_up);
}

#[tokio::test]
async fn attack_a_session_of_another_user_cannot_be_ended() {
    let bench = Bench::new().await;
    let (ada, eve) = (bench.sign_up(ADA).await, bench.sign_up("eve@example.com").await);
    let session = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    let result = bench.accounts.end_session(eve.user, session.session.id).await;
    assert!(matches!(result, Err(AccountsError::NotFound(_))));
    assert!(bench.accounts.find_session(session.token.reveal()).await.unwrap().is_some());
}

#[derive(Default)]
struct Heard(Mutex<Vec<(Uuid, Ended)>>);

impl Hooks for Heard {
    fn signed_out<'a>(&'a self, user: Uuid, ended: Ended) -> BoxFuture<'a, Result<(), String>> {
        self.0.lock().unwrap().push((user, ended));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_and_tells_the_others() {
    let bench = Bench::new().await;
    let heard = Arc::new(Heard::default());
    bench.accounts.add_hooks(Arc::clone(&heard) as _);
    let ada = bench.sign_up(ADA).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(bench.accounts.create_session(&ada, &visitor(), None).await.unwrap());
    }
    let kept = tokens[0].session.id;
    assert_eq!(bench.accounts.end_all_sessions(ada.user, Some(kept)).await.unwrap(), 2);
    let left: Vec<_> = bench.accounts.sessions(ada.user).await.unwrap().iter().map(|session| session.id).collect();
    assert_eq!(left, [kept]);
    assert_eq!(bench.accounts.end_all_sessions(ada.user, None).await.unwrap(), 1);
    let told = heard.0.lock().unwrap().clone();
    assert_eq!(told, [(ada.user, Ended::EverythingBut(Some(kept))), (ada.user, Ended::EverythingBut(None))]);
}
