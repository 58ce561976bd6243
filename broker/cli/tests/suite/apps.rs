//! The apps that a person has let in: seen on the page and over the API, and taken back on both.

use std::time::{Duration, Instant};

use mooring_protocol::{Connect, ReasonCode};
use serde_json::{Value, json};

use crate::mqtt::Client;
use crate::oauth::{Case, challenge};
use crate::people::Person;
use crate::web::{Answer, Browser, encode};

const APPS: &str = "/account/apps";
const REMOVE: &str = "/account/apps/removal";

impl Case {
    /// Lets the shop in, and gives its code.
    fn let_shop_in(&mut self) -> String {
        let challenge = challenge();
        let query = encode(&[
            ("client_id", "shop"),
            ("redirect_uri", "https://shop.example/callback"),
            ("response_type", "code"),
            ("scope", "openid devices:read offline_access"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let page = self.ada.open(&format!("/oauth2/authorize?{query}"));
        let answer = self.ada.submit(&page, "/oauth2/consent", &[("decision", "allow")]);
        answer.parameter("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
    }

    fn shop_tokens(&mut self) -> Answer {
        let code = self.let_shop_in();
        self.shop_exchange(&code)
    }

    fn shop_exchange(&self, code: &str) -> Answer {
        self.shop(
            "/oauth2/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", "https://shop.example/callback"),
                ("code_verifier", crate::oauth::VERIFIER),
            ],
        )
    }

    /// A token with which Ada's account can be managed.
    fn account_token(&self) -> String {
        let answer = self.ada.clone().open(&self.authorize(&[("scope", "account")]));
        self.exchange(&answer.parameter("code").unwrap()).text("access_token")
    }

    fn delete(&self, path: &str, token: &str) -> u16 {
        self.web.request("DELETE", path, &[("authorization", &format!("Bearer {token}"))], "").status
    }
}

#[test]
fn a_person_sees_the_apps_that_were_let_in_and_takes_one_back_on_the_page() {
    let mut case = Case::new();
    assert!(case.ada.open(APPS).body.contains("No app has access"));
    let access = case.shop_tokens().text("access_token");
    assert!(case.is_good(&access));
    let own = case.tokens().text("access_token");
    let page = case.ada.open(APPS);
    for said in ["Spare parts", "The app", "from this service", "see your devices", "last used"] {
        assert!(page.body.contains(said), "no {said:?}: {page:?}");
    }
    let answer = case.ada.submit(&page, REMOVE, &[("client", "shop")]);
    let page = case.ada.follow(answer);
    assert!(page.body.contains("no access any more") && !page.body.contains("Spare parts"), "{page:?}");
    assert!(!case.is_good(&access), "its tokens have ended");
    assert!(case.is_good(&own), "those of the other app have not");
    // It has to ask again.
    let asks = case.let_shop_in();
    assert!(!asks.is_empty());
}

#[test]
fn taking_an_app_back_ends_its_tokens_stream_and_connection_at_once() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let (access, account) = (tokens.text("access_token"), case.account_token());
    let listed: Value = case.web.api("/v1/account/apps", &account).json();
    assert_eq!((&listed[0]["client_id"], &listed[0]["first_party"]), (&json!("app"), &json!(true)), "{listed}");
    assert!(listed[0]["used_at"].is_string() && listed[0]["since"].is_string());
    let stream = case.web.tls_stream(case.server.port_of("passwords"));
    let connect = Connect { password: Some(access.as_bytes()), ..Connect::new("phone") };
    let mut connection = Client::start_as(stream, &connect).unwrap();
    let person = Person { home: &case.home, server: &case.server, token: access.clone(), token_id: String::new() };
    let mut watched = person.watch(None);
    watched.next_of("open");
    assert_eq!(case.delete("/v1/account/apps/app", &access), 403, "without the scope");
    assert_eq!(case.delete("/v1/account/apps/nobody", &account), 404);
    let began = Instant::now();
    assert_eq!(case.delete("/v1/account/apps/app", &account), 204);
    assert_eq!(connection.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(began.elapsed() < Duration::from_secs(1));
    let (told, _) = watched.end();
    assert_eq!(told.last().unwrap().data["reason"], "the token ended");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(!case.is_good(&access) && !case.is_good(&account));
    assert_eq!(case.refresh(&tokens.text("refresh_token")).text("error"), "invalid_grant");
}

#[test]
fn attack_code_from_before_the_consent_was_taken_back_or_the_person_signed_out_everywhere() {
    let mut case = Case::new();
    let code = case.let_shop_in();
    let page = case.ada.open(APPS);
    let answer = case.ada.submit(&page, REMOVE, &[("client", "shop")]);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(case.shop_exchange(&code).text("error"), "invalid_grant");
    let (account, code) = (case.account_token(), case.code());
    assert_eq!(case.delete("/v1/account/sessions", &account), 204);
    assert_eq!(case.exchange(&code).text("error"), "invalid_grant");
}

#[test]
fn attack_csrf_on_the_page_of_apps_and_apps_of_others() {
    let mut case = Case::new();
    let access = case.shop_tokens().text("access_token");
    let page = case.ada.open(APPS);
    let hidden = page.form(REMOVE);
    let csrf = hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
    let mut eve = Browser::new(&case.web);
    eve.sign_up(&case.home, "eve@example.com");
    let token_of_home = case.ada.open("/account/security").form("/account/security/export");
    let other_form = token_of_home.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
    for (what, headers, csrf) in [
        ("none", &[][..], ""),
        ("another form's", &[], other_form.as_str()),
        ("from elsewhere", &[("origin", "https://evil.example")], &csrf),
        ("from a page of another site", &[("sec-fetch-site", "cross-site")], &csrf),
    ] {
        let answer = case.ada.post_from(REMOVE, headers, &[("client", "shop"), ("csrf", csrf)]);
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
    }
    assert_eq!(eve.post(REMOVE, &[("client", "shop"), ("csrf", &csrf)]).status, 403, "Ada's token in Eve's browser");
    // Eve takes back what she has let in, and nothing of Ada's.
    let page = eve.open("/account/apps/removal");
    let own = page.body.contains("No app has access");
    assert!(own, "{page:?}");
    assert!(case.is_good(&access));
    let mut nobody = Browser::new(&case.web);
    assert!(nobody.get(APPS).location().starts_with("/account/sign-in?next="));
}
