//! Changing and resetting what one signs in with.

use std::time::Duration;

use mooring_accounts::{AccountsError, PasswordFault, Proof};

use crate::bench::{ADA, Bench, OTHER_PASSWORD, PASSWORD, code_of, token_of, visitor};

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_a_mail_tells_of_it() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let here = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    let there = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    let change = async |proof: Proof<'_>, new: &str| {
        bench.accounts.change_password(ada.user, proof, new, Some(here.session.id), &visitor()).await
    };
    assert!(matches!(
        change(Proof::Password(OTHER_PASSWORD), OTHER_PASSWORD).await,
        Err(AccountsError::WrongCredentials)
    ));
    let common = change(Proof::Password(PASSWORD), "password12345").await;
    assert!(matches!(common, Err(AccountsError::Password(PasswordFault::Common))));
    change(Proof::Password(PASSWORD), OTHER_PASSWORD).await.unwrap();
    assert!(bench.accounts.find_session(here.token.reveal()).await.unwrap().is_some());
    assert!(bench.accounts.find_session(there.token.reveal()).await.unwrap().is_none());
    assert!(bench.last_mail(2).await.subject.contains("was changed"));
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
    bench.sign_in(ADA, OTHER_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_recent_sign_in_is_proof_for_ten_minutes_and_for_its_owner() {
    let bench = Bench::new().await;
    let (ada, eve) = (bench.sign_up(ADA).await, bench.sign_up("eve@example.com").await);
    let of_ada = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap().session;
    let of_eve = bench.accounts.create_session(&eve, &visitor(), None).await.unwrap().session;
    let change = async |session| {
        bench.accounts.change_password(ada.user, Proof::Recent(session), OTHER_PASSWORD, None, &visitor()).await
    };
    assert!(matches!(change(&of_eve).await, Err(AccountsError::ProofNeeded)));
    bench.wait(Duration::from_secs(599));
    change(&of_ada).await.unwrap();
    bench.wait(Duration::from_secs(1));
    assert!(matches!(change(&of_ada).await, Err(AccountsError::ProofNeeded)));
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_by_a_link_that_works_once() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let session = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    bench.accounts.request_reset("ADA@example.com", &visitor()).await.unwrap();
    let mail = bench.last_mail(2).await;
    assert_eq!(mail.to.as_str(), ADA, "to the address on record, not as it was typed");
    let token = token_of(&mail);
    bench.accounts.check_reset(&token).await.unwrap();
    let short = bench.accounts.reset(&token, "short", &visitor()).await;
    assert!(matches!(short, Err(AccountsError::Password(PasswordFault::TooShort(12)))), "the link stays good");
    bench.accounts.reset(&token, OTHER_PASSWORD, &visitor()).await.unwrap();
    assert!(bench.accounts.find_session(session.token.reveal()).await.unwrap().is_none());
    bench.sign_in(ADA, OTHER_PASSWORD).await.unwrap();
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
}

#[tokio::test]
async fn attack_a_reset_link_is_no_good_again_later_nor_beside_another() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    for _ in 0..3 {
        bench.accounts.request_reset(ADA, &visitor()).await.unwrap();
    }
    let tokens: Vec<_> = bench.mails(4).await[1..].iter().map(token_of).collect();
    bench.accounts.reset(&tokens[0], OTHER_PASSWORD, &visitor()).await.unwrap();
    for token in [tokens[0].as_str(), &tokens[1], &tokens[2], "", &"A".repeat(43)] {
        assert!(
            matches!(bench.accounts.reset(token, PASSWORD, &visitor()).await, Err(AccountsError::Expired)),
            "{token}"
        );
        assert!(matches!(bench.accounts.check_reset(token).await, Err(AccountsError::Expired)));
    }
    bench.accounts.request_reset(ADA, &visitor()).await.unwrap();
    let late = token_of(&bench.last_mail(6).await);
    bench.wait(Duration::from_secs(3601));
    assert!(matches!(bench.accounts.reset(&late, PASSWORD, &visitor()).await, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn an_address_is_changed_by_a_code_to_the_new_one() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let proof = Proof::Password(PASSWORD);
    let pending = bench.accounts.request_email_change(ada.user, proof, "Ada@new.example", &visitor()).await.unwrap();
    let mail = bench.last_mail(2).await;
    assert_eq!(mail.to.as_str(), "Ada@new.example");
    bench.accounts.change_email(ada.user, pending.reveal(), &code_of(&mail)).await.unwrap();
    let told = bench.last_mail(3).await;
    assert_eq!(told.to.as_str(), ADA);
    assert!(told.text.contains("Ada@new.example"));
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
    assert_eq!(bench.sign_in("ada@new.example", PASSWORD).await.unwrap().user, ada.user);
    assert_eq!(bench.accounts.profile(ada.user).await.unwrap().name, "Ada@new.example");
}

#[tokio::test]
async fn attack_an_address_of_another_cannot_be_taken_nor_probed() {
    let bench = Bench::new().await;
    let (ada, eve) = (bench.sign_up(ADA).await, bench.sign_up("eve@example.com").await);
    let proof = Proof::Password(PASSWORD);
    let pending = bench.accounts.request_email_change(eve.user, proof, ADA, &visitor()).await.unwrap();
    bench.mails(2).await;
    for code in ["00000000", "12345678"] {
        let result = bench.accounts.change_email(eve.user, pending.reveal(), code).await;
        assert!(matches!(result, Err(AccountsError::WrongCode)), "as for an address that is free");
    }
    // The code of one user is none for another.
    let pending = bench.accounts.request_email_change(eve.user, proof, "x@example.com", &visitor()).await.unwrap();
    let code = code_of(&bench.last_mail(3).await);
    assert!(matches!(
        bench.accounts.change_email(ada.user, pending.reveal(), &code).await,
        Err(AccountsError::Expired)
    ));
}

#[tokio::test]
async fn a_name_is_changed_and_one_that_deceives_is_refused() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    bench.accounts.set_profile(ada.user, " Ada Lovelace ", "de").await.unwrap();
    let profile = bench.accounts.profile(ada.user).await.unwrap();
    assert_eq!((profile.display_name.as_str(), profile.language.as_str()), ("Ada Lovelace", "de"));
    for name in ["a\r\nb", "a\u{202e}b", &"x".repeat(65)] {
        assert!(
            matches!(bench.accounts.set_profile(ada.user, name, "en").await, Err(AccountsError::Name { .. })),
            "{name:?}"
        );
    }
}
