//! Codes and refresh tokens work once; what is presented twice ends what it led to.

use mooring_store::{
    DeviceDecision, DevicePollError, Exchange, ExchangeError, NewDeviceCode, NewOauthCode, OauthClient, OauthCode,
    OauthFamily, RefreshToken, SignedIn,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::common::{Database, NOW};
use crate::on_both_databases;

on_both_databases!(
    a_code_works_once_and_a_second_use_ends_what_the_first_was_given,
    of_racing_redemptions_of_one_code_at_most_one_succeeds,
    a_code_that_is_refused_or_late_is_used_up,
    a_refresh_token_that_was_traded_ends_its_family,
    what_ends_by_hand_or_with_its_user_or_client_is_told,
    a_pushed_request_leads_to_one_code,
    a_screen_gets_its_tokens_once_a_person_agrees,
    a_screen_that_polls_too_often_waits_longer,
    clients_and_consents_are_kept,
);

const MINUTE: Duration = Duration::MINUTE;

fn client() -> OauthClient {
    OauthClient {
        id: "app".to_owned(),
        name: "The app".to_owned(),
        secret_hash: None,
        first_party: true,
        introspects: false,
        redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
        sign_out_uris: Vec::new(),
        grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        requires_dpop: true,
    }
}

fn signed_in() -> SignedIn {
    SignedIn { at: NOW, amr: vec!["pwd".to_owned(), "otp".to_owned()] }
}

fn new_code(user: Uuid, hash: u8) -> NewOauthCode {
    let code = OauthCode {
        family: Uuid::now_v7(),
        client: "app".to_owned(),
        user,
        redirect_uri: "http://127.0.0.1:9/callback".to_owned(),
        scopes: vec!["openid".to_owned()],
        nonce: Some("n".to_owned()),
        code_challenge: "c".to_owned(),
        browser_session: Some(Uuid::now_v7()),
        signed_in: signed_in(),
        dpop_jkt: Some([4; 32]),
    };
    NewOauthCode { hash: [hash; 32], request_hash: None, expires_at: NOW + MINUTE, code }
}

fn refresh(hash: u8) -> RefreshToken {
    RefreshToken { hash: [hash; 32], expires_at: NOW + Duration::DAY }
}

fn exchange(next: Option<RefreshToken>) -> Exchange {
    Exchange { family_expires_at: NOW + Duration::DAY, refresh: next, dpop_jkt: Some([5; 32]) }
}

/// A database with the client, and a user.
async fn prepared(database: &Database) -> Uuid {
    database.store.create_oauth_client(&client(), NOW).await.unwrap();
    database.user().await
}

/// A family with the refresh token of this hash.
async fn family_with_refresh(database: &Database, user: Uuid, hash: u8) -> OauthFamily {
    database.store.create_oauth_code(&new_code(user, hash), NOW).await.unwrap();
    database.store.redeem_oauth_code(&[hash; 32], NOW, |_| Some(exchange(Some(refresh(hash))))).await.unwrap()
}

async fn ended(database: &Database) -> Vec<Uuid> {
    database.store.oauth_families_ended_since(NOW - MINUTE).await.unwrap()
}

async fn a_code_works_once_and_a_second_use_ends_what_the_first_was_given(database: Database) {
    let user = prepared(&database).await;
    let code = new_code(user, 1);
    database.store.create_oauth_code(&code, NOW).await.unwrap();
    let family = database.store.redeem_oauth_code(&[1; 32], NOW, |found| {
        assert_eq!(*found, code.code);
        Some(exchange(None))
    });
    let family = family.await.unwrap();
    assert_eq!((family.id, family.user, family.signed_in), (code.code.family, Some(user), Some(signed_in())));
    assert!(ended(&database).await.is_empty());
    let again = database.store.redeem_oauth_code(&[1; 32], NOW, |_| Some(exchange(None))).await;
    assert!(matches!(again, Err(ExchangeError::Replayed { family }) if family == code.code.family), "{again:?}");
    assert_eq!(ended(&database).await, [code.code.family]);
    let unknown = database.store.redeem_oauth_code(&[2; 32], NOW, |_| Some(exchange(None))).await;
    assert!(matches!(unknown, Err(ExchangeError::Unknown)), "{unknown:?}");
}

async fn of_racing_redemptions_of_one_code_at_most_one_succeeds(database: Database) {
    let user = prepared(&database).await;
    database.store.create_oauth_code(&new_code(user, 1), NOW).await.unwrap();
    let races: Vec<_> = (0..8)
        .map(|_| {
            let store = database.store.clone();
            tokio::spawn(async move { store.redeem_oauth_code(&[1; 32], NOW, |_| Some(exchange(None))).await.is_ok() })
        })
        .collect();
    let mut won = 0;
    for race in races {
        won += usize::from(race.await.unwrap());
    }
    assert_eq!(won, 1);
}

async fn a_code_that_is_refused_or_late_is_used_up(database: Database) {
    let user = prepared(&database).await;
    database.store.create_oauth_code(&new_code(user, 1), NOW).await.unwrap();
    let refused = database.store.redeem_oauth_code(&[1; 32], NOW, |_| None).await;
    assert!(matches!(refused, Err(ExchangeError::Refused)), "{refused:?}");
    let again = database.store.redeem_oauth_code(&[1; 32], NOW, |_| Some(exchange(None))).await;
    assert!(matches!(again, Err(ExchangeError::Replayed { .. })), "{again:?}");
    database.store.create_oauth_code(&new_code(user, 2), NOW).await.unwrap();
    let late = database.store.redeem_oauth_code(&[2; 32], NOW + MINUTE, |_| Some(exchange(None))).await;
    assert!(matches!(late, Err(ExchangeError::Ended)), "{late:?}");
}

async fn a_refresh_token_that_was_traded_ends_its_family(database: Database) {
    let user = prepared(&database).await;
    let family = family_with_refresh(&database, user, 1).await;
    let rotate = |hash: u8, client: &'static str, next: u8, at: OffsetDateTime| {
        let store = database.store.clone();
        async move { store.rotate_oauth_refresh(&[hash; 32], client, at, |_| Some(exchange(Some(refresh(next))))).await }
    };
    assert!(matches!(rotate(1, "other", 2, NOW).await, Err(ExchangeError::Unknown)));
    assert!(matches!(rotate(1, "app", 2, NOW + Duration::DAY).await, Err(ExchangeError::Ended)));
    assert_eq!(rotate(1, "app", 2, NOW).await.unwrap().id, family.id);
    assert!(database.store.oauth_family_of_refresh(&[1; 32], NOW).await.unwrap().is_none());
    assert_eq!(database.store.oauth_family_of_refresh(&[2; 32], NOW).await.unwrap().unwrap().0.id, family.id);
    assert!(matches!(rotate(1, "app", 3, NOW).await, Err(ExchangeError::Replayed { .. })));
    assert!(matches!(rotate(2, "app", 3, NOW).await, Err(ExchangeError::Ended)));
    assert_eq!(ended(&database).await, [family.id]);
}

async fn what_ends_by_hand_or_with_its_user_or_client_is_told(database: Database) {
    let user = prepared(&database).await;
    let [one, two] = [family_with_refresh(&database, user, 1).await, family_with_refresh(&database, user, 2).await];
    assert_eq!(database.store.oauth_families_of_user(user, NOW).await.unwrap().len(), 2);
    assert!(database.store.end_oauth_family(one.id, "revoked", NOW).await.unwrap());
    assert!(!database.store.end_oauth_family(one.id, "revoked", NOW).await.unwrap());
    assert_eq!(database.store.end_oauth_families_of_user(user, None, "signed out", NOW).await.unwrap(), [two.id]);
    let kept = family_with_refresh(&database, user, 9).await;
    let ended_but_one = database.store.end_oauth_families_of_user(user, kept.browser_session, "signed out", NOW);
    assert!(ended_but_one.await.unwrap().is_empty());
    assert!(database.store.end_oauth_family(kept.id, "revoked", NOW).await.unwrap());
    let mut known = ended(&database).await;
    known.sort_unstable();
    assert_eq!(known, [one.id, two.id, kept.id]);
    let three = family_with_refresh(&database, user, 3).await;
    let session = three.browser_session.unwrap();
    assert_eq!(database.store.end_oauth_families_of_browser(session, NOW).await.unwrap(), [three.id]);
    let four = family_with_refresh(&database, user, 4).await;
    database.store.remove_oauth_client("app").await.unwrap();
    assert!(ended(&database).await.contains(&four.id));
}

async fn a_pushed_request_leads_to_one_code(database: Database) {
    let user = prepared(&database).await;
    let store = &database.store;
    store.create_oauth_request(&[7; 32], "app", "{}", NOW + MINUTE).await.unwrap();
    assert_eq!(store.oauth_request(&[7; 32], "app", NOW).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(store.oauth_request(&[7; 32], "other", NOW).await.unwrap(), None);
    assert_eq!(store.oauth_request(&[7; 32], "app", NOW + MINUTE).await.unwrap(), None);
    let pushed = |hash| NewOauthCode { request_hash: Some([7; 32]), ..new_code(user, hash) };
    store.create_oauth_code(&pushed(1), NOW).await.unwrap();
    assert!(store.create_oauth_code(&pushed(2), NOW).await.is_err());
    assert_eq!(store.oauth_request(&[7; 32], "app", NOW).await.unwrap(), None);
}

fn screen(hash: u8) -> NewDeviceCode {
    NewDeviceCode {
        hash: [hash; 32],
        user_code_hash: [hash + 100; 32],
        family: Uuid::now_v7(),
        client: "app".to_owned(),
        scopes: vec!["openid".to_owned()],
        expires_at: NOW + MINUTE,
        interval_s: 5,
    }
}

async fn a_screen_gets_its_tokens_once_a_person_agrees(database: Database) {
    let user = prepared(&database).await;
    let store = &database.store;
    let poll = async |hash: u8, at| store.poll_oauth_device(&[hash; 32], "app", at, |_| exchange(None)).await;
    for hash in [1, 2, 3] {
        store.create_oauth_device_code(&screen(hash)).await.unwrap();
    }
    assert!(matches!(poll(1, NOW).await, Err(DevicePollError::Pending)));
    let approved = DeviceDecision { user, approved: Some(signed_in()) };
    assert_eq!(store.oauth_device_request(&[101; 32], NOW).await.unwrap().unwrap().client, "app");
    assert!(store.decide_oauth_device(&[101; 32], &approved, NOW).await.unwrap());
    assert!(!store.decide_oauth_device(&[101; 32], &approved, NOW).await.unwrap());
    assert!(store.oauth_device_request(&[101; 32], NOW).await.unwrap().is_none());
    assert_eq!(poll(1, NOW).await.unwrap().user, Some(user));
    assert!(matches!(poll(1, NOW).await, Err(DevicePollError::Unknown)));
    assert!(store.decide_oauth_device(&[102; 32], &DeviceDecision { user, approved: None }, NOW).await.unwrap());
    assert!(matches!(poll(2, NOW).await, Err(DevicePollError::Denied)));
    assert!(matches!(poll(3, NOW + MINUTE).await, Err(DevicePollError::Expired)));
    assert!(!store.decide_oauth_device(&[103; 32], &approved, NOW + MINUTE).await.unwrap());
}

async fn a_screen_that_polls_too_often_waits_longer(database: Database) {
    prepared(&database).await;
    let store = &database.store;
    store.create_oauth_device_code(&screen(1)).await.unwrap();
    let check = async |second: i64, slow_down: bool| {
        let polled =
            store.poll_oauth_device(&[1; 32], "app", NOW + Duration::seconds(second), |_| exchange(None)).await;
        let is_slow_down = matches!(polled, Err(DevicePollError::SlowDown));
        assert_eq!(is_slow_down, slow_down, "second {second}: {polled:?}");
    };
    check(0, false).await;
    check(4, true).await;
    check(13, true).await;
    check(28, false).await;
}

async fn clients_and_consents_are_kept(database: Database) {
    let user = prepared(&database).await;
    let store = &database.store;
    assert_eq!(store.oauth_client("app").await.unwrap(), Some(client()));
    let service = OauthClient { id: "service".to_owned(), secret_hash: Some([9; 32]), ..client() };
    store.create_oauth_client(&service, NOW).await.unwrap();
    assert!(store.create_oauth_client(&service, NOW).await.is_err());
    let all = store.oauth_clients(&Default::default()).await.unwrap().items;
    assert_eq!(all, [client(), service]);
    assert!(store.oauth_consent(user, "app").await.unwrap().is_empty());
    for scopes in [vec!["openid".to_owned()], vec!["openid".to_owned(), "email".to_owned()]] {
        store.keep_oauth_consent(user, "app", &scopes, NOW).await.unwrap();
        assert_eq!(store.oauth_consent(user, "app").await.unwrap(), scopes);
    }
    let family = family_with_refresh(&database, user, 1).await;
    let apps = store.connected_apps(user, NOW).await.unwrap();
    assert_eq!(apps.len(), 1);
    assert_eq!((apps[0].client.as_str(), apps[0].first_party, apps[0].used_at), ("app", true, Some(NOW)));
    assert!(["openid", "email"].iter().all(|scope| apps[0].scopes.iter().any(|held| held == scope)), "{apps:?}");
    store.create_oauth_code(&new_code(user, 2), NOW).await.unwrap();
    assert_eq!(store.withdraw_oauth_consent(user, "app", NOW).await.unwrap(), Some(vec![family.id]));
    assert!(store.oauth_consent(user, "app").await.unwrap().is_empty());
    let late = store.redeem_oauth_code(&[2; 32], NOW, |_| Some(exchange(None))).await;
    assert!(matches!(late, Err(ExchangeError::Unknown)), "a code from before is good for nothing");
    assert!(store.connected_apps(user, NOW).await.unwrap().is_empty());
    assert_eq!(store.withdraw_oauth_consent(user, "app", NOW).await.unwrap(), None);
}
