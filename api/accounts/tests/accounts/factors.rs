//! Authenticator apps, recovery codes, passkeys.

use std::time::Duration;

use mooring_accounts::{AccountsError, Proof, SecondFactor, SignIn, totp_code};
use uuid::Uuid;

use crate::bench::{ADA, Bench, OTHER_PASSWORD, PASSWORD, token_of, visitor, visitor_from};

const STEP: Duration = Duration::from_secs(30);

/// Adds an authenticator app; gives its secret and the recovery codes.
async fn add_totp(bench: &Bench, user: Uuid) -> (String, Vec<String>) {
    let offer = bench.accounts.offer_totp(user, Proof::Password(PASSWORD), &visitor()).await.unwrap();
    let code = totp_code(&offer.secret, bench.now()).unwrap();
    let codes = bench.accounts.confirm_totp(user, &code).await.unwrap().unwrap();
    (offer.secret.to_string(), codes)
}

async fn pending(bench: &Bench) -> String {
    match bench.accounts.sign_in(ADA, PASSWORD, &visitor()).await.unwrap() {
        SignIn::SecondFactor { pending, methods } => {
            assert!(methods.contains(&SecondFactor::Totp), "{methods:?}");
            pending.reveal().to_owned()
        }
        SignIn::Done(_) => panic!("no second factor was asked for"),
    }
}

#[tokio::test]
async fn an_app_that_was_confirmed_is_asked_for() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let offer = bench.accounts.offer_totp(ada.user, Proof::Password(PASSWORD), &visitor()).await.unwrap();
    assert!(
        offer.uri.starts_with("otpauth://totp/Mooring:ada%40example.com?secret=") && offer.qr_svg.starts_with("<svg")
    );
    bench.sign_in(ADA, PASSWORD).await.unwrap();
    assert!(matches!(bench.accounts.confirm_totp(ada.user, "000000").await, Err(AccountsError::WrongCode)));
    let code = totp_code(&offer.secret, bench.now()).unwrap();
    assert_eq!(bench.accounts.confirm_totp(ada.user, &code).await.unwrap().unwrap().len(), 10);
    bench.wait(STEP);
    let code = totp_code(&offer.secret, bench.now()).unwrap();
    let pending = pending(&bench).await;
    let signed_in = bench.accounts.finish_with_code(&pending, SecondFactor::Totp, &code, &visitor()).await.unwrap();
    assert_eq!((signed_in.user, signed_in.amr), (ada.user, vec!["pwd", "otp", "mfa"]));
    let again = bench.accounts.finish_with_code(&pending, SecondFactor::Totp, &code, &visitor()).await;
    assert!(matches!(again, Err(AccountsError::Expired)));
    bench.accounts.remove_totp(ada.user, Proof::Password(PASSWORD), &visitor()).await.unwrap();
    bench.sign_in(ADA, PASSWORD).await.unwrap();
    assert_eq!(bench.accounts.profile(ada.user).await.unwrap().recovery_codes_left, 0);
}

#[tokio::test]
async fn attack_totp_replay_a_code_is_good_once() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let (secret, _) = add_totp(&bench, ada.user).await;
    let enrolling = totp_code(&secret, bench.now()).unwrap();
    let replayed =
        bench.accounts.finish_with_code(&pending(&bench).await, SecondFactor::Totp, &enrolling, &visitor()).await;
    assert!(matches!(replayed, Err(AccountsError::WrongCode)), "the code that confirmed the app is used up");
    bench.wait(STEP);
    let (one, two) = (pending(&bench).await, pending(&bench).await);
    let code = totp_code(&secret, bench.now()).unwrap();
    let visitor = visitor();
    let racing =
        [&one, &two].map(|pending| bench.accounts.finish_with_code(pending, SecondFactor::Totp, &code, &visitor));
    let results = futures_util::future::join_all(racing).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    // One from before the last that was used is none any more, though its time has not passed.
    let earlier = totp_code(&secret, bench.now() - STEP).unwrap();
    let result = bench.accounts.finish_with_code(&pending(&bench).await, SecondFactor::Totp, &earlier, &visitor).await;
    assert!(matches!(result, Err(AccountsError::WrongCode)));
}

#[tokio::test]
async fn attack_totp_brute_force_runs_into_waits_that_grow_from_any_address() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let (secret, _) = add_totp(&bench, ada.user).await;
    let mut tried = 0;
    for number in 0..300_u32 {
        let eve = visitor_from(&format!("203.0.{}.{}", number / 200, number % 200));
        // The attacker knows the password: that counts as a try of its own, each time from another address.
        let Ok(SignIn::SecondFactor { pending, .. }) = bench.accounts.sign_in(ADA, PASSWORD, &eve).await else {
            continue;
        };
        for guess in 0..20 {
            let code = format!("{:06}", number * 20 + guess);
            match bench.accounts.finish_with_code(pending.reveal(), SecondFactor::Totp, &code, &eve).await {
                Err(AccountsError::WrongCode) => tried += 1,
                Err(AccountsError::TooManyTries { .. } | AccountsError::Expired) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(tried <= 6, "{tried} codes were tried at one moment");
    // The owner, from a browser that is known, waits for the second factor's sake, but not for ever.
    bench.wait(Duration::from_secs(900));
    let code = totp_code(&secret, bench.now()).unwrap();
    bench.accounts.finish_with_code(&pending(&bench).await, SecondFactor::Totp, &code, &visitor()).await.unwrap();
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let (_, codes) = add_totp(&bench, ada.user).await;
    let finish = async |code: &str| {
        bench.accounts.finish_with_code(&pending(&bench).await, SecondFactor::RecoveryCode, code, &visitor()).await
    };
    assert!(matches!(finish("0000-0000-0000").await, Err(AccountsError::WrongCode)));
    finish(&codes[0].to_lowercase().replace('-', " ")).await.unwrap();
    assert!(matches!(finish(&codes[0]).await, Err(AccountsError::WrongCode)), "used up");
    assert_eq!(bench.accounts.profile(ada.user).await.unwrap().recovery_codes_left, 9);
    let new = bench.accounts.new_recovery_codes(ada.user, Proof::Password(PASSWORD), &visitor()).await.unwrap();
    assert!(matches!(finish(&codes[1]).await, Err(AccountsError::WrongCode)), "replaced");
    finish(&new[1]).await.unwrap();
}

#[tokio::test]
async fn attack_a_reset_by_mail_does_not_go_around_the_second_factor() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    add_totp(&bench, ada.user).await;
    bench.accounts.request_reset(ADA, &visitor()).await.unwrap();
    let token = token_of(&bench.last_mail(3).await);
    let waiting = pending(&bench).await;
    bench.accounts.reset(&token, OTHER_PASSWORD, &visitor()).await.unwrap();
    let result = bench.accounts.sign_in(ADA, OTHER_PASSWORD, &visitor()).await.unwrap();
    assert!(matches!(result, SignIn::SecondFactor { .. }));
    let late = bench.accounts.finish_with_code(&waiting, SecondFactor::Totp, "000000", &visitor()).await;
    assert!(matches!(late, Err(AccountsError::Expired)), "what was begun with the old password has ended");
}
