//! Signing up.

use std::time::Duration;

use mooring_accounts::{AccountsError, SignUp, Verification};

use crate::bench::{ADA, Bench, PASSWORD, code_of, token_of, visitor};

fn form(email: &str) -> SignUp<'_> {
    SignUp { email, password: PASSWORD, display_name: "Ada" }
}

#[tokio::test]
async fn an_account_is_made_when_its_code_comes_back() {
    let bench = Bench::new().await;
    let pending = bench.accounts.sign_up(form("Ada@Example.com"), &visitor()).await.unwrap();
    assert!(bench.store.account_by_login(ADA).await.unwrap().is_none(), "not before");
    let mail = bench.last_mail(1).await;
    assert_eq!(mail.to.as_str(), "Ada@Example.com");
    let verification = Verification::Code { pending: pending.reveal(), code: &code_of(&mail) };
    let signed_in = bench.accounts.verify_email(verification, &visitor()).await.unwrap();
    let profile = bench.accounts.profile(signed_in.user).await.unwrap();
    assert_eq!((profile.email.as_deref(), profile.display_name.as_str()), (Some("Ada@Example.com"), "Ada"));
    assert!(profile.email_verified && profile.has_password && !profile.totp);
    assert_eq!(bench.sign_in(ADA, PASSWORD).await.unwrap().user, signed_in.user);
    assert_eq!(bench.audit_actions().await, ["account.create"]);
}

#[tokio::test]
async fn the_link_of_the_mail_does_as_well_as_its_code() {
    let bench = Bench::new().await;
    let pending = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let token = token_of(&bench.last_mail(1).await);
    let verification = Verification::Link { token: &token, pending: pending.reveal() };
    bench.accounts.verify_email(verification, &visitor()).await.unwrap();
    let again = bench.accounts.verify_email(verification, &visitor()).await;
    assert!(matches!(again, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn elsewhere_the_link_wants_the_password() {
    let bench = Bench::new().await;
    bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let token = token_of(&bench.last_mail(1).await);
    let verify = async |password: &str| {
        bench.accounts.verify_email(Verification::LinkAndPassword { token: &token, password }, &visitor()).await
    };
    assert!(matches!(verify("copper lantern moss").await, Err(AccountsError::WrongCredentials)));
    verify(PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_code_is_good_for_an_hour() {
    let bench = Bench::new().await;
    let pending = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let code = code_of(&bench.last_mail(1).await);
    bench.wait(Duration::from_secs(3601));
    let late =
        bench.accounts.verify_email(Verification::Code { pending: pending.reveal(), code: &code }, &visitor()).await;
    assert!(matches!(late, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn of_two_sign_ups_with_one_address_the_first_verified_counts() {
    let bench = Bench::new().await;
    let one = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let two = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let codes: Vec<_> = bench.mails(2).await.iter().map(code_of).collect();
    bench
        .accounts
        .verify_email(Verification::Code { pending: two.reveal(), code: &codes[1] }, &visitor())
        .await
        .unwrap();
    let late =
        bench.accounts.verify_email(Verification::Code { pending: one.reveal(), code: &codes[0] }, &visitor()).await;
    assert!(matches!(late, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn sign_up_can_be_closed() {
    let bench = Bench::with(|config| config.sign_up = false).await;
    let result = bench.accounts.sign_up(form(ADA), &visitor()).await;
    assert!(matches!(result, Err(AccountsError::SignUpClosed)));
}

#[tokio::test]
async fn mails_speak_the_language_of_the_visitor() {
    let bench = Bench::new().await;
    let german = mooring_accounts::Visitor { language: "de-AT".to_owned(), ..visitor() };
    bench.accounts.sign_up(form(ADA), &german).await.unwrap();
    assert!(bench.last_mail(1).await.subject.starts_with("Dein Code"));
}
