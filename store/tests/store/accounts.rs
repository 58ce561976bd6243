//! Accounts, their factors and sessions, and what may happen once.

use mooring_store::{Account, NewAccount, NewOneTime, NewWebSession, OneTimePurpose, Passkey, Store, StoreError};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, fresh_hash};
use crate::on_both_databases;

on_both_databases!(
    an_account_is_found_by_its_address_or_name,
    an_address_is_taken_once_as_address_and_as_name,
    a_password_is_set_and_upgraded,
    the_dearest_bcrypt_hash_is_the_example,
    an_address_changes_with_the_name_that_it_is,
    attack_a_step_of_totp_is_used_once_by_racing_calls,
    attack_a_recovery_code_is_used_once_by_racing_calls,
    a_passkey_is_kept_counted_and_removed,
    a_session_is_good_until_it_ends,
    attack_a_session_that_was_planted_ends_with_the_new_one,
    attack_what_is_once_is_taken_once_by_racing_calls,
    attack_tries_are_counted_one_by_one,
    what_has_ended_is_swept,
    a_deleted_user_leaves_nothing,
    a_deletion_that_was_begun_shuts_the_account,
);

fn new_account(email: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        email: email.to_owned(),
        display_name: "Ada".to_owned(),
        language: "en".to_owned(),
        password: Some("$argon2id$one".to_owned()),
        verified_at: Some(NOW),
    }
}

async fn ada(store: &Store) -> Uuid {
    let account = new_account("Ada@example.com");
    store.create_account(&account, NOW).await.unwrap();
    account.id
}

async fn account(store: &Store, user: Uuid) -> Account {
    store.account(user).await.unwrap().unwrap()
}

async fn an_account_is_found_by_its_address_or_name(db: Database) {
    let user = ada(&db.store).await;
    let found = db.store.account_by_login("aDA@EXAMPLE.com").await.unwrap().unwrap();
    assert_eq!(found, account(&db.store, user).await);
    assert_eq!(
        (found.user, found.name.as_str(), found.email.as_deref()),
        (user, "Ada@example.com", Some("Ada@example.com"))
    );
    assert_eq!(
        (found.password.as_deref(), found.password_at, found.verified_at),
        (Some("$argon2id$one"), Some(NOW), Some(NOW))
    );
    assert_eq!(db.store.account_by_login("Ada").await.unwrap(), None);
    // A user whom an operator made has an account without anything to sign in with.
    let operators = db.user().await;
    let found = db.store.account_by_login(&format!("USER-{operators}")).await.unwrap().unwrap();
    assert_eq!((found.user, found.password, found.email), (operators, None, None));
}

async fn an_address_is_taken_once_as_address_and_as_name(db: Database) {
    ada(&db.store).await;
    let error = db.store.create_account(&new_account("ADA@example.com"), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
}

async fn a_password_is_set_and_upgraded(db: Database) {
    let user = ada(&db.store).await;
    let later = NOW + Duration::HOUR;
    assert!(!db.store.upgrade_password(user, "$other", "$new").await.unwrap());
    assert!(db.store.upgrade_password(user, "$argon2id$one", "$argon2id$two").await.unwrap());
    assert_eq!(account(&db.store, user).await.password_at, Some(NOW), "it is the same password");
    db.store.set_password(user, None, later).await.unwrap();
    let found = account(&db.store, user).await;
    assert_eq!((found.password, found.password_at), (None, Some(later)));
    let operators = db.user().await;
    db.store.set_password(operators, Some("$argon2id$three"), later).await.unwrap();
    assert_eq!(account(&db.store, operators).await.password.as_deref(), Some("$argon2id$three"));
    let nobody = db.store.set_password(Uuid::now_v7(), None, NOW).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

async fn the_dearest_bcrypt_hash_is_the_example(db: Database) {
    assert_eq!(db.store.bcrypt_example().await.unwrap(), None);
    for (email, hash) in
        [("a@example.com", "$2b$10$a"), ("b@example.com", "$2a$12$b"), ("c@example.com", "$argon2id$c")]
    {
        let account = NewAccount { password: Some(hash.to_owned()), ..new_account(email) };
        db.store.create_account(&account, NOW).await.unwrap();
    }
    assert_eq!(db.store.bcrypt_example().await.unwrap().as_deref(), Some("$2a$12$b"));
}

async fn an_address_changes_with_the_name_that_it_is(db: Database) {
    let user = ada(&db.store).await;
    db.store.create_account(&new_account("eve@example.com"), NOW).await.unwrap();
    let taken = db.store.set_email(user, "EVE@example.com", NOW).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })));
    db.store.set_email(user, "New@example.com", NOW).await.unwrap();
    let found = account(&db.store, user).await;
    assert_eq!((found.name.as_str(), found.email.as_deref()), ("New@example.com", Some("New@example.com")));
    let operators = db.user().await;
    db.store.set_email(operators, "op@example.com", NOW).await.unwrap();
    assert_eq!(account(&db.store, operators).await.name, format!("user-{operators}"), "it was no address");
}

async fn attack_a_step_of_totp_is_used_once_by_racing_calls(db: Database) {
    let user = ada(&db.store).await;
    assert!(!db.store.use_totp_step(user, 5).await.unwrap(), "there is none");
    db.store.offer_totp(user, b"sealed").await.unwrap();
    assert!(!db.store.confirm_totp(user, b"other", 7, NOW).await.unwrap());
    assert!(db.store.confirm_totp(user, b"sealed", 7, NOW).await.unwrap());
    assert!(!db.store.use_totp_step(user, 7).await.unwrap(), "it confirmed");
    let racing = (0..8).map(|_| db.store.use_totp_step(user, 8));
    let used = futures_util::future::try_join_all(racing).await.unwrap();
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert!(!db.store.use_totp_step(user, 6).await.unwrap(), "an earlier one");
    assert!(db.store.remove_totp(user).await.unwrap() && !db.store.remove_totp(user).await.unwrap());
}

async fn attack_a_recovery_code_is_used_once_by_racing_calls(db: Database) {
    let user = ada(&db.store).await;
    let hashes = [fresh_hash(), fresh_hash()];
    db.store.replace_recovery_codes(user, &hashes).await.unwrap();
    let racing = (0..8).map(|_| db.store.use_recovery_code(user, &hashes[0], NOW));
    let used = futures_util::future::try_join_all(racing).await.unwrap();
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert_eq!(db.store.recovery_codes_left(user).await.unwrap(), 1);
    assert!(!db.store.use_recovery_code(Uuid::now_v7(), &hashes[1], NOW).await.unwrap(), "it is another's");
    db.store.replace_recovery_codes(user, &[fresh_hash()]).await.unwrap();
    assert!(!db.store.use_recovery_code(user, &hashes[1], NOW).await.unwrap(), "it was replaced");
}

async fn a_passkey_is_kept_counted_and_removed(db: Database) {
    let user = ada(&db.store).await;
    let passkey = Passkey {
        id: vec![1, 2, 3],
        user,
        name: "phone".to_owned(),
        public_key: vec![4, 5],
        sign_count: 7,
        backed_up: false,
        created_at: NOW,
        used_at: None,
    };
    db.store.add_passkey(&passkey, 2).await.unwrap();
    assert!(matches!(db.store.add_passkey(&passkey, 2).await, Err(StoreError::Conflict { .. })));
    db.store.add_passkey(&Passkey { id: vec![9], ..passkey.clone() }, 2).await.unwrap();
    let third = db.store.add_passkey(&Passkey { id: vec![8], ..passkey.clone() }, 2).await;
    assert!(matches!(third, Err(StoreError::Conflict { .. })), "too many");
    assert_eq!(db.store.passkey(&[1, 2, 3]).await.unwrap().as_ref(), Some(&passkey));
    assert!(db.store.use_passkey(&[1, 2, 3], (7, 8), true, NOW).await.unwrap());
    assert!(!db.store.use_passkey(&[1, 2, 3], (7, 9), true, NOW).await.unwrap(), "its count was another");
    let used = Passkey { sign_count: 8, backed_up: true, used_at: Some(NOW), ..passkey };
    assert!(db.store.passkeys(user).await.unwrap().contains(&used));
    assert!(!db.store.remove_passkey(Uuid::now_v7(), &[9]).await.unwrap());
    assert!(db.store.remove_passkey(user, &[9]).await.unwrap());
}

fn session(user: Uuid) -> NewWebSession {
    NewWebSession {
        id: Uuid::now_v7(),
        hash: fresh_hash(),
        user,
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        auth_at: NOW,
        expires_at: NOW + Duration::DAY,
        user_agent: "browser".to_owned(),
        address: "192.0.2.1".to_owned(),
    }
}

async fn a_session_is_good_until_it_ends(db: Database) {
    let user = ada(&db.store).await;
    let (new, idle) = (session(user), NOW - Duration::HOUR);
    db.store.create_web_session(&new, None, NOW).await.unwrap();
    let found = db.store.web_session(&new.hash, idle, NOW).await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.amr, found.seen_at), (new.id, user, new.amr.clone(), NOW));
    assert!(db.store.web_session(&new.hash, idle, NOW + Duration::DAY).await.unwrap().is_none(), "its end has come");
    assert!(db.store.web_session(&new.hash, NOW, NOW).await.unwrap().is_none(), "unused for too long");
    db.store.see_web_session(new.id, NOW + Duration::HOUR).await.unwrap();
    assert!(db.store.web_session(&new.hash, NOW, NOW).await.unwrap().is_some());
    assert!(!db.store.end_web_session(Uuid::now_v7(), new.id).await.unwrap());
    assert!(db.store.end_web_session(user, new.id).await.unwrap());
    for _ in 0..3 {
        db.store.create_web_session(&session(user), None, NOW).await.unwrap();
    }
    let kept = db.store.web_sessions_of(user, idle, NOW).await.unwrap()[0].id;
    assert_eq!(db.store.end_web_sessions(user, Some(kept)).await.unwrap(), 2);
    assert_eq!(db.store.end_web_sessions(user, None).await.unwrap(), 1);
}

async fn attack_a_session_that_was_planted_ends_with_the_new_one(db: Database) {
    let user = ada(&db.store).await;
    let (planted, new) = (session(user), session(user));
    db.store.create_web_session(&planted, None, NOW).await.unwrap();
    db.store.create_web_session(&new, Some(&planted.hash), NOW).await.unwrap();
    let left = db.store.web_sessions_of(user, NOW - Duration::HOUR, NOW).await.unwrap();
    assert_eq!(left.iter().map(|session| session.id).collect::<Vec<_>>(), [new.id]);
}

fn once(user: Option<Uuid>) -> NewOneTime {
    NewOneTime {
        hash: fresh_hash(),
        link_hash: Some(fresh_hash()),
        purpose: OneTimePurpose::SignUp,
        user,
        code_hash: Some(fresh_hash()),
        data: "{}".to_owned(),
        expires_at: NOW + Duration::HOUR,
    }
}

async fn attack_what_is_once_is_taken_once_by_racing_calls(db: Database) {
    let new = once(None);
    db.store.create_one_time(&new, NOW).await.unwrap();
    let found = db.store.one_time_by_link(OneTimePurpose::SignUp, &new.link_hash.unwrap(), NOW).await.unwrap().unwrap();
    assert_eq!((found.hash, found.code_hash), (new.hash, new.code_hash));
    let take = |purpose, now| db.store.take_one_time(purpose, &new.hash, now);
    assert!(take(OneTimePurpose::Reset, NOW).await.unwrap().is_none(), "it is for something else");
    assert!(take(OneTimePurpose::SignUp, NOW + Duration::HOUR).await.unwrap().is_none(), "its end has come");
    let racing = (0..8).map(|_| take(OneTimePurpose::SignUp, NOW));
    let taken = futures_util::future::try_join_all(racing).await.unwrap();
    assert_eq!(taken.iter().flatten().count(), 1);
}

async fn attack_tries_are_counted_one_by_one(db: Database) {
    let new = once(None);
    db.store.create_one_time(&new, NOW).await.unwrap();
    let racing = (0..20).map(|_| db.store.try_one_time(OneTimePurpose::SignUp, &new.hash, 5, NOW));
    let tried = futures_util::future::try_join_all(racing).await.unwrap();
    let mut tries: Vec<_> = tried.into_iter().flatten().map(|tried| tried.tries).collect();
    tries.sort_unstable();
    assert_eq!(tries, [1, 2, 3, 4, 5]);
}

async fn what_has_ended_is_swept(db: Database) {
    let user = ada(&db.store).await;
    db.store.create_web_session(&session(user), None, NOW).await.unwrap();
    db.store.create_one_time(&once(Some(user)), NOW).await.unwrap();
    assert_eq!(db.store.sweep_accounts(NOW - Duration::HOUR, NOW).await.unwrap(), 0);
    assert_eq!(db.store.sweep_accounts(NOW - Duration::HOUR, NOW + Duration::DAY).await.unwrap(), 2);
    db.store.create_one_time(&once(Some(user)), NOW).await.unwrap();
    assert_eq!(db.store.end_one_times(user, OneTimePurpose::SignUp).await.unwrap(), 1);
}

async fn a_deleted_user_leaves_nothing(db: Database) {
    let user = ada(&db.store).await;
    let (device, other) = (db.device().await, db.device().await);
    let claim = |device| db.store.claim_device(user, device, &CODE, NOW);
    for device in [device, other] {
        db.store.add_claim_code(device, &CODE, NOW).await.unwrap();
    }
    claim(device).await.unwrap();
    db.store.create_web_session(&session(user), None, NOW).await.unwrap();
    db.store.create_one_time(&once(Some(user)), NOW).await.unwrap();
    db.store.offer_totp(user, b"sealed").await.unwrap();
    assert_eq!(db.store.delete_user(user, NOW).await.unwrap(), [device]);
    assert!(db.store.account(user).await.unwrap().is_none());
    assert!(db.store.web_sessions_of(user, NOW - Duration::HOUR, NOW).await.unwrap().is_empty());
    assert_eq!(db.store.device(device).await.unwrap().unwrap().owner, None);
    assert!(matches!(db.store.delete_user(user, NOW).await, Err(StoreError::NotFound { .. })));
    // Whoever has the device in hand can claim it again.
    let next = db.user().await;
    db.store.claim_device(next, device, &CODE, NOW).await.unwrap();
}

const CODE: [u8; 32] = [42; 32];

async fn a_deletion_that_was_begun_shuts_the_account(db: Database) {
    let user = ada(&db.store).await;
    let new = session(user);
    db.store.create_web_session(&new, None, NOW).await.unwrap();
    db.store.begin_deletion(user, NOW).await.unwrap();
    db.store.begin_deletion(user, NOW + Duration::HOUR).await.unwrap();
    assert_eq!(account(&db.store, user).await.disabled_at, Some(NOW));
    assert_eq!(db.store.deletions_begun().await.unwrap(), [user]);
    assert!(db.store.web_session(&new.hash, NOW - Duration::HOUR, NOW).await.unwrap().is_none());
}
