//! Attacks on what an answer tells, and on what is typed.

use std::time::{Duration, Instant};

use mooring_accounts::{AccountsError, Argon2Cost, SignUp, Verification};

use crate::bench::{ADA, Bench, OTHER_PASSWORD, PASSWORD, code_of, token_of, visitor, visitor_from};

const NOBODY: &str = "nobody@example.com";

fn form(email: &str) -> SignUp<'_> {
    SignUp { email, password: PASSWORD, display_name: "" }
}

#[tokio::test]
async fn attack_account_probing_by_answer_signing_up_and_resetting_say_the_same() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    let mut told = Vec::new();
    for email in [ADA, NOBODY] {
        let pending = bench.accounts.sign_up(form(email), &visitor()).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..7 {
            let verification = Verification::Code { pending: pending.reveal(), code: "00000000" };
            let answer = bench.accounts.verify_email(verification, &visitor_from("192.0.2.9")).await;
            answers.push(answer.unwrap_err().to_string());
        }
        bench.accounts.request_reset(email, &visitor()).await.unwrap();
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
    // The owner is told by mail; a stranger's address gets nothing but what was asked for with it.
    let mails = bench.mails(4).await;
    let sent: Vec<_> = mails
        .iter()
        .map(|mail| (mail.to.as_str(), mail.subject.split(' ').take(3).collect::<Vec<_>>().join(" ")))
        .collect();
    assert_eq!(sent[1], (ADA, "You have an".to_owned()));
    assert_eq!(sent[2], (ADA, "Set a new".to_owned()));
    assert_eq!(sent[3], (NOBODY, "Your code for".to_owned()));
}

#[tokio::test]
async fn attack_account_probing_by_answer_waits_grow_for_nobody_as_for_somebody() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    let mut told = Vec::new();
    for (email, network) in [(ADA, "203.0.113"), (NOBODY, "198.51.100")] {
        let mut answers = Vec::new();
        for number in 0..20 {
            let visitor = visitor_from(&format!("{network}.{number}"));
            answers.push(bench.accounts.sign_in(email, OTHER_PASSWORD, &visitor).await.unwrap_err().to_string());
        }
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_account_probing_by_time_unknown_accounts_cost_as_much() {
    // A hash dear enough to stand out from all else.
    let cost = Argon2Cost { memory_kib: 8 * 1024, passes: 3, lanes: 1 };
    let bench = Bench::with(|config| {
        config.argon2 = cost;
        config.throttle.free_of_account = 1000;
        config.throttle.free_of_address = 1000;
    })
    .await;
    bench.sign_up(ADA).await;
    let fastest = async |email: &str| {
        let mut fastest = Duration::MAX;
        for _ in 0..15 {
            let started = Instant::now();
            bench.sign_in(email, OTHER_PASSWORD).await.unwrap_err();
            fastest = fastest.min(started.elapsed());
        }
        fastest.as_secs_f64()
    };
    let (known, unknown) = (fastest(ADA).await, fastest(NOBODY).await);
    assert!((0.6..1.7).contains(&(known / unknown)), "known {known} s, unknown {unknown} s");
}

#[tokio::test]
async fn attack_pre_hijacking_the_owner_of_an_address_never_confirms_a_strangers_password() {
    let bench = Bench::new().await;
    let stranger = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let mail = bench.last_mail(1).await;
    // The owner opens the link in their own browser: without the password that the stranger chose, nothing happens.
    let token = token_of(&mail);
    let own = bench.accounts.sign_up(SignUp { password: OTHER_PASSWORD, ..form(ADA) }, &visitor()).await.unwrap();
    let result =
        bench.accounts.verify_email(Verification::Link { token: &token, pending: own.reveal() }, &visitor()).await;
    assert!(matches!(result, Err(AccountsError::WrongCredentials)));
    let owner = Verification::LinkAndPassword { token: &token, password: OTHER_PASSWORD };
    assert!(matches!(bench.accounts.verify_email(owner, &visitor()).await, Err(AccountsError::WrongCredentials)));
    // The stranger has the browser, and not the code; the owner's own code is of no use to them.
    let code = code_of(&bench.last_mail(2).await);
    let result =
        bench.accounts.verify_email(Verification::Code { pending: stranger.reveal(), code: &code }, &visitor()).await;
    assert!(matches!(result, Err(AccountsError::WrongCode)));
    bench.accounts.verify_email(Verification::Code { pending: own.reveal(), code: &code }, &visitor()).await.unwrap();
    bench.sign_in(ADA, OTHER_PASSWORD).await.unwrap();
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
}

#[tokio::test]
async fn attack_a_code_is_tried_five_times_and_no_more() {
    let bench = Bench::new().await;
    let pending = bench.accounts.sign_up(form(ADA), &visitor()).await.unwrap();
    let code = code_of(&bench.last_mail(1).await);
    let wrong = if code == "00000000" { "11111111" } else { "00000000" };
    let (visitor, tries) = (visitor(), 20);
    let verification = Verification::Code { pending: pending.reveal(), code: wrong };
    let racing = (0..tries).map(|_| bench.accounts.verify_email(verification, &visitor));
    let results = futures_util::future::join_all(racing).await;
    assert_eq!(results.iter().filter(|result| matches!(result, Err(AccountsError::WrongCode))).count(), 5);
    let right = Verification::Code { pending: pending.reveal(), code: &code };
    assert!(matches!(bench.accounts.verify_email(right, &visitor).await, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn attack_header_injection_nothing_that_is_typed_reaches_a_header_or_a_mail() {
    let bench = Bench::new().await;
    for email in [
        "ada@example.com\r\nBcc: all@example.com",
        "ada@example.com\nX: y",
        "ada@example.com,eve@example.com",
        "\"a b\"@example.com",
    ] {
        let result = bench.accounts.sign_up(form(email), &visitor()).await;
        assert!(matches!(result, Err(AccountsError::Email(_))), "{email:?}");
        assert!(
            matches!(bench.accounts.request_reset(email, &visitor()).await, Err(AccountsError::Email(_))),
            "{email:?}"
        );
    }
    let spam = SignUp { display_name: "Buy at https://spam.example now", ..form(ADA) };
    bench.accounts.sign_up(spam, &visitor()).await.unwrap();
    let mail = bench.last_mail(1).await;
    assert!(!mail.text.contains("spam") && !mail.subject.contains("spam"), "{mail:?}");
}

#[tokio::test]
async fn attack_look_alikes_of_an_address_are_refused_and_cases_of_it_are_the_same() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    for email in [
        "\u{430}da@example.com",
        "\u{ff41}da@example.com",
        "ada@ex\u{430}mple.com",
        "a\u{301}da@example.com",
        "ad\u{251}@example.com",
    ] {
        assert!(
            matches!(bench.accounts.sign_up(form(email), &visitor()).await, Err(AccountsError::Email(_))),
            "{email}"
        );
        assert!(
            matches!(bench.accounts.request_reset(email, &visitor()).await, Err(AccountsError::Email(_))),
            "{email}"
        );
        assert!(matches!(bench.sign_in(email, PASSWORD).await, Err(AccountsError::WrongCredentials)), "{email}");
    }
    bench.accounts.sign_up(form("ADA@EXAMPLE.COM"), &visitor()).await.unwrap();
    assert!(bench.last_mail(2).await.subject.starts_with("You have an account"));
}

#[tokio::test]
async fn attack_oversized_input_is_refused_before_it_costs_anything() {
    let bench = Bench::new().await;
    bench.sign_up(ADA).await;
    let huge = "x".repeat(50_000_000);
    let started = Instant::now();
    assert!(bench.sign_in(ADA, &huge).await.is_err());
    assert!(bench.accounts.sign_up(SignUp { password: &huge, ..form("b@example.com") }, &visitor()).await.is_err());
    assert!(bench.accounts.sign_up(form(&huge), &visitor()).await.is_err());
    assert!(bench.accounts.find_session(&huge).await.unwrap().is_none());
    assert!(bench.accounts.reset(&huge, PASSWORD, &visitor()).await.is_err());
    assert!(mooring_accounts::PasskeyAnswer::parse(&huge).is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn attack_a_flood_of_mails_to_one_address_ends_after_a_few() {
    let bench = Bench::new().await;
    let mut sent = 0;
    for number in 0..50 {
        let visitor = visitor_from(&format!("203.0.113.{number}"));
        match bench.accounts.sign_up(form(ADA), &visitor).await {
            Ok(_) => sent += 1,
            Err(AccountsError::TooManyTries { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sent <= 6, "{sent} mails");
}
