//! What an attacker tries against accounts, over HTTP, each by its name; and what an owner does with their account, beside it. The rules themselves
//! are tested one by one where they are (`api/accounts/tests`).

use std::time::{Duration, Instant};

use mooring_accounts::totp_code;
use serde_json::json;
use time::OffsetDateTime;

use crate::oauth::{ADA, Case};
use crate::web::{Answer, Browser, PASSWORD, encode, mail_to};

const SECURITY: &str = "/account/security";

/// A token of Ada's for her account.
fn account_token(case: &mut Case) -> String {
    let answer = case.ada.clone().open(&case.authorize(&[("scope", "openid account devices:read")]));
    let code = answer.parameter("code").unwrap_or_else(|| panic!("no code: {answer:?}"));
    case.exchange(&code).text("access_token")
}

fn api(case: &Case, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    case.web.request(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body)
}

/// What stands in a page between two marks.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {page}"));
    rest.split(after).next().unwrap()
}

/// Adds an authenticator app by the page; gives its secret and the recovery codes.
fn add_app(browser: &mut Browser) -> (String, Vec<String>) {
    let page = browser.open(SECURITY);
    let page = browser.submit(&page, "/account/security/totp", &[("current_password", PASSWORD)]);
    let secret = between(&page.body, "<p class=\"secret\">", "</p>").to_owned();
    assert!(page.body.contains("<svg class=\"qr\""), "{page:?}");
    let code = totp_code(&secret, OffsetDateTime::now_utc()).unwrap();
    let page = browser.submit(&page, "/account/security/totp/confirmation", &[("code", &code)]);
    let codes = page.body.split("<li class=\"secret\">").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes.len(), 10, "{page:?}");
    (secret, codes)
}

#[test]
fn attack_totp_replay_and_brute_force_on_the_page() {
    let mut case = Case::new();
    let (secret, codes) = add_app(&mut case.ada);
    let used = totp_code(&secret, OffsetDateTime::now_utc()).unwrap();
    let mut browser = Browser::new(&case.web);
    let begin = |browser: &mut Browser| {
        let page = browser.open("/account/sign-in");
        browser.sign_in(&page, ADA)
    };
    // The code that confirmed the app is used up, and another of the same step is none.
    let page = begin(&mut browser);
    let replayed = browser.submit(&page, "/account/second-factor", &[("code", &used)]);
    assert_eq!(replayed.status, 401, "{replayed:?}");
    // Guessing ends after a few, and the sign-in with it.
    let mut statuses = Vec::new();
    for guess in 0..8 {
        let code = format!("{guess:06}");
        statuses.push(browser.submit(&page, "/account/second-factor", &[("code", &code)]).status);
    }
    assert!(statuses.iter().all(|status| [401, 410, 429].contains(status)) && statuses.contains(&410), "{statuses:?}");
    // A recovery code, which cannot be guessed, is throttled with the rest of the account for a moment only.
    let began = Instant::now();
    let signed_in = loop {
        let page = begin(&mut browser);
        if page.status == 200 {
            let fields = [("code", codes[0].as_str()), ("method", "recovery")];
            let answer = browser.submit(&page, "/account/second-factor", &fields);
            if answer.status == 303 {
                break answer;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{page:?}");
        std::thread::sleep(Duration::from_millis(300));
    };
    assert_eq!(signed_in.location(), "/account");
}

#[test]
fn attack_csrf_on_each_form_of_the_security_page() {
    let mut case = Case::new();
    let page = case.ada.open(SECURITY);
    let forms: Vec<_> = page.body.split("<form method=\"post\" action=\"").skip(1).collect();
    assert!(forms.len() >= 8, "{page:?}");
    let mut evil = case.ada.clone();
    for form in forms {
        let path = form.split('"').next().unwrap();
        let fields = [
            ("current_password", PASSWORD),
            ("new_password", "copper lantern moss"),
            ("password_again", "copper lantern moss"),
            ("display_name", "Mallory"),
            ("email", "mallory@example.com"),
            ("id", "all"),
        ];
        let without_token = evil.post(path, &fields);
        assert_eq!(without_token.status, 403, "{path}: {without_token:?}");
        let token = page.form(path).into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let with_token = [&fields[..], &[("csrf", token.as_str())]].concat();
        let elsewhere = evil.post_from(path, &[("origin", "https://evil.example")], &with_token);
        assert_eq!(elsewhere.status, 403, "{path}: {elsewhere:?}");
    }
    let page = case.ada.open(SECURITY);
    assert!(!page.body.contains("Mallory") && !page.body.contains("mallory@"), "{page:?}");
    // A form of one page is none of another's.
    let name_token = page.form("/account/security/name").into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let fields = [("csrf", name_token.as_str()), ("current_password", PASSWORD)];
    assert_eq!(evil.post("/account/security/deletion", &fields).status, 403);
}

#[test]
fn attack_session_fixation_a_cookie_from_before_the_sign_in_is_worth_nothing() {
    let case = Case::new();
    let mut victim = Browser::new(&case.web);
    victim.open("/account/sign-in");
    // The attacker has planted the cookies of a session and of a browser that they know.
    let mut mallory = Browser::new(&case.web);
    mallory.sign_up(&case.home, "mallory@example.com");
    victim.cookies.extend(mallory.cookies.clone());
    let page = victim.open("/account/sign-in");
    let answer = victim.sign_in(&page, ADA);
    assert_eq!(answer.status, 303, "{answer:?}");
    // What was begun to sign up with is finished, and good for nothing.
    for (name, value) in mallory.cookies.iter().filter(|(name, _)| !name.ends_with("sign-up")) {
        assert_ne!(victim.cookies.get(name), Some(value), "{name} was kept");
    }
    assert!(victim.open("/account").body.contains(ADA));
    let there = mallory.open("/account");
    assert!(!there.body.contains(ADA) && there.body.contains("/account/sign-in"), "{there:?}");
}

#[test]
fn attack_account_probing_pages_say_the_same_of_everybody() {
    let case = Case::new();
    let said = |email: &str| {
        let mut browser = Browser::new(&case.web);
        let page = browser.open("/account/sign-in");
        let wrong =
            browser.submit(&page, "/account/sign-in", &[("email", email), ("password", "not the password at all")]);
        let page = browser.open("/account/sign-up");
        let signed_up = browser.submit(&page, "/account/sign-up", &[("email", email), ("password", PASSWORD)]);
        let code = browser.submit(&signed_up, "/account/verify", &[("code", "00000000")]);
        let page = browser.open("/account/forgot");
        let forgot = browser.submit(&page, "/account/forgot", &[("email", email)]);
        [wrong, signed_up, code, forgot].map(|answer| {
            // What differs in every answer is not what tells: tokens, and the address that was typed.
            let text: String = answer.body.replace(email, "EMAIL");
            let kept = text.split("value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
            (answer.status, kept.collect::<String>())
        })
    };
    let (known, unknown) = (said(ADA), said("nobody@example.com"));
    assert_eq!(known, unknown);
}

#[test]
fn attack_reset_token_reuse_guessing_and_header_injection() {
    let case = Case::new();
    let mut browser = Browser::new(&case.web);
    for email in ["ada@example.com\r\nBcc: all@example.com", "ada@example.com,eve@example.com", "\u{430}da@example.com"]
    {
        let page = browser.open("/account/forgot");
        assert_eq!(browser.submit(&page, "/account/forgot", &[("email", email)]).status, 422, "{email:?}");
    }
    let page = browser.open("/account/forgot");
    browser.submit(&page, "/account/forgot", &[("email", "ADA@example.com")]);
    let mail = mail_to(&case.home.data_dir(), ADA, "/account/reset?token=");
    let token = between(&mail, "/account/reset?token=", "\r").to_owned();
    let new = "copper lantern moss";
    let fields = [("password", new), ("password_again", new)];
    for guess in ["A".repeat(43), "../../etc".to_owned(), "x".repeat(5000)] {
        let page = browser.open(&format!("/account/reset?{}", encode(&[("token", &guess)])));
        assert_eq!(page.status, 410, "{page:?}");
    }
    let page = browser.open(&format!("/account/reset?token={token}"));
    let answer = browser.submit(&page, "/account/reset", &fields);
    assert!(answer.status == 303 || answer.status == 200, "{answer:?}");
    let again = browser.submit(&page, "/account/reset", &fields);
    assert_eq!(again.status, 410, "{again:?}");
    // All that was signed in with the old password is out.
    let there = case.ada.clone().open("/account");
    assert!(there.body.contains("/account/sign-in"), "{there:?}");
}

#[test]
fn attack_xss_in_names_that_the_page_shows() {
    let mut case = Case::new();
    let evil = "\"><script>alert(1)</script>";
    let page = case.ada.open(SECURITY);
    let answer = case.ada.submit(&page, "/account/security/name", &[("display_name", evil)]);
    assert_eq!(answer.status, 303, "{answer:?}");
    let mut other = Browser::new(&case.web);
    let page = other.open("/account/sign-in");
    let hidden = page.form("/account/sign-in");
    let hidden: Vec<_> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let fields = [&hidden[..], &[("email", ADA), ("password", PASSWORD)]].concat();
    let signed_in = other.post_from("/account/sign-in", &[("user-agent", evil)], &fields);
    assert_eq!(signed_in.status, 303, "{signed_in:?}");
    let page = case.ada.open(SECURITY);
    assert!(!page.body.contains("<script>alert") && page.body.matches("&lt;script&gt;alert").count() >= 2, "{page:?}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn attack_an_account_is_changed_with_its_scope_password_and_by_its_owner_alone() {
    let mut case = Case::new();
    let token = account_token(&mut case);
    let account = api(&case, "GET", "/v1/account", &token, "").json();
    assert_eq!((account["email"].as_str(), account["totp"].as_bool()), (Some(ADA), Some(false)), "{account}");

    // A token without the scope, and none at all.
    let narrow = case.tokens().text("access_token");
    for (method, path) in [("GET", "/v1/account"), ("GET", "/v1/account/export"), ("DELETE", "/v1/account/sessions")] {
        assert_eq!(api(&case, method, path, &narrow, "").status, 403, "{method} {path}");
        assert_eq!(case.web.request(method, path, &[], "").status, 401, "{method} {path}");
    }
    // Another's session, by its id.
    let mut eve = Browser::new(&case.web);
    eve.sign_up(&case.home, "eve@example.com");
    let page = eve.open(SECURITY);
    let sessions = api(&case, "GET", "/v1/account/sessions", &token, "").json();
    let of_ada = sessions[0]["id"].as_str().unwrap().to_owned();
    let stolen = eve.submit(&page, "/account/security/sessions", &[("id", &of_ada)]);
    assert_eq!(stolen.status, 404, "{stolen:?}");
    // What needs the password, with a wrong one.
    let wrong = json!({"password": "not the password at all"}).to_string();
    for (method, path) in [("PUT", "/v1/account/totp"), ("POST", "/v1/account/deletion")] {
        assert_eq!(api(&case, method, path, &token, &wrong).status, 403, "{method} {path}");
    }
    let breached = json!({"current_password": PASSWORD, "new_password": "password1234"}).to_string();
    let refused = api(&case, "PUT", "/v1/account/password", &token, &breached);
    assert_eq!(refused.status, 422, "{refused:?}");

    let export = api(&case, "GET", "/v1/account/export", &token, "").json();
    assert_eq!(export["account"]["email"], ADA);
    let right = json!({"password": PASSWORD}).to_string();
    assert_eq!(api(&case, "POST", "/v1/account/deletion", &token, &right).status, 204);
    assert_eq!(api(&case, "GET", "/v1/account", &token, "").status, 401, "the token ended with the account");
    let page = case.ada.open("/account/sign-in");
    assert_eq!(case.ada.sign_in(&page, ADA).status, 401);
    mail_to(&case.home.data_dir(), ADA, "was deleted");
}
