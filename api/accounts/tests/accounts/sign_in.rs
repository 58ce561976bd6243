//! Signing in with a password.

use std::time::Duration;

use mooring_accounts::{AccountsError, Visitor};
use mooring_store::{NewAccount, NewUser};
use uuid::Uuid;

use crate::bench::{ADA, Bench, OTHER_PASSWORD, PASSWORD, visitor, visitor_from};

#[tokio::test]
async fn the_right_password_signs_in_and_a_wrong_one_does_not() {
    let bench = Bench::new().await;
    let user = bench.sign_up(ADA).await.user;
    for login in [ADA, "ADA@EXAMPLE.COM", " ada@example.com "] {
        let signed_in = bench.sign_in(login, PASSWORD).await.unwrap();
        assert_eq!((signed_in.user, signed_in.amr, signed_in.at), (user, vec!["pwd"], bench.now()));
    }
    for password in ["", OTHER_PASSWORD, "Tidal wharf pigeon", &"x".repeat(1_000_000)] {
        assert!(matches!(bench.sign_in(ADA, password).await, Err(AccountsError::WrongCredentials)));
    }
}

#[tokio::test]
async fn a_bcrypt_hash_of_the_seed_system_is_upgraded_at_the_first_sign_in() {
    let bench = Bench::new().await;
    let account = NewAccount {
        id: Uuid::now_v7(),
        email: ADA.to_owned(),
        display_name: String::new(),
        language: "en".to_owned(),
        // Of "tidal wharf pigeon", at cost 4.
        password: Some(bcrypt::hash(PASSWORD, 4).unwrap()),
        verified_at: Some(bench.now()),
    };
    bench.store.create_account(&account, bench.now()).await.unwrap();
    bench.accounts.tidy().await.unwrap();
    assert!(matches!(bench.sign_in(ADA, OTHER_PASSWORD).await, Err(AccountsError::WrongCredentials)));
    bench.sign_in(ADA, PASSWORD).await.unwrap();
    let stored = bench.store.account(account.id).await.unwrap().unwrap().password.unwrap();
    assert!(stored.starts_with("$argon2id$"), "{stored}");
    bench.sign_in(ADA, PASSWORD).await.unwrap();
    assert_eq!(bench.store.bcrypt_example().await.unwrap(), None);
}

#[tokio::test]
async fn a_user_whom_an_operator_made_has_no_password_to_sign_in_with() {
    let bench = Bench::new().await;
    let user = NewUser { id: Uuid::now_v7(), name: "ada".to_owned(), email: None };
    bench.store.create_user(&user, bench.now()).await.unwrap();
    assert!(matches!(bench.sign_in("ada", "").await, Err(AccountsError::WrongCredentials)));
}

#[tokio::test]
async fn failures_make_wait_and_are_forgotten_after_a_day() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    for _ in 0..6 {
        assert!(matches!(bench.sign_in(ADA, OTHER_PASSWORD).await, Err(AccountsError::WrongCredentials)));
    }
    let Err(AccountsError::TooManyTries { retry_after }) = bench.sign_in(ADA, PASSWORD).await else { panic!() };
    bench.wait(retry_after);
    bench.sign_in(ADA, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn attack_failures_of_strangers_do_not_lock_out_a_known_browser() {
    let bench = Bench::new().await;
    let signed_in = bench.sign_up(ADA).await;
    let home = visitor_from("198.51.100.7");
    let known = bench.accounts.create_session(&signed_in, &home, None).await.unwrap().known_device;
    for number in 0..200 {
        let stranger = visitor_from(&format!("203.0.113.{number}"));
        let _ = bench.accounts.sign_in(ADA, OTHER_PASSWORD, &stranger).await;
    }
    let unknown = bench.accounts.sign_in(ADA, PASSWORD, &home).await;
    assert!(matches!(unknown, Err(AccountsError::TooManyTries { .. })), "an unknown browser waits");
    let home = Visitor { known_device: Some(known.clone()), ..home };
    bench.accounts.sign_in(ADA, PASSWORD, &home).await.unwrap();
    // The cookie of one account is none of another's, and a forged one is none.
    bench.sign_up("eve@example.com").await;
    for cookie in [known.as_str(), "", ".", "00.00", &format!("{}.{}", Uuid::new_v4().simple(), "0".repeat(64))] {
        let visitor = Visitor { known_device: Some(cookie.to_owned()), ..visitor_from("198.51.100.8") };
        bench.wait(Duration::from_secs(1));
        for _ in 0..7 {
            let _ = bench.accounts.sign_in("eve@example.com", OTHER_PASSWORD, &visitor).await;
        }
        let result = bench.accounts.sign_in("eve@example.com", PASSWORD, &visitor).await;
        assert!(matches!(result, Err(AccountsError::TooManyTries { .. })), "{cookie:?}");
    }
}

#[tokio::test]
async fn many_sign_ins_at_once_wait_for_their_turn() {
    let bench = Bench::with(|config| config.hashes_max = 1).await;
    bench.sign_up(ADA).await;
    let visitor = visitor();
    let all = (0..5).map(|_| bench.accounts.sign_in(ADA, PASSWORD, &visitor));
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
}
