//! OAuth 2.1 and OpenID Connect against a running server: an independent client signs in, and each grant does what its standard says.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mooring_protocol::{Connect, ReasonCode};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::{Value, json};

use crate::mqtt::Client;
use crate::server::{Home, Server};
use crate::web::{Answer, Browser, Web, encode, parameter};

/// Where a native app listens (RFC 8252, 7.3): the port is not the registered one.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:51004/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const SCOPES: &str = "openid email offline_access devices:read commands:send";

/// A server, an app of one's own and one of somebody else's, and Ada, who has an account and is signed in.
pub(crate) struct Case {
    pub(crate) home: Home,
    pub(crate) server: Server,
    pub(crate) web: Web,
    pub(crate) ada: Browser,
    pub(crate) shop_secret: String,
}

pub(crate) const ADA: &str = "ada@example.com";

const PASSWORDS: &str = r#"
[[listeners]]
name = "passwords"
bind = "127.0.0.1:0"
client_certificate = "none"
allow_password = true
"#;

impl Case {
    pub(crate) fn new() -> Self {
        let home = Home::with(PASSWORDS);
        let server = home.start();
        let web = Web::new(&home, &server);
        let all = "openid,profile,email,offline_access,devices:read,devices:write,commands:send,account";
        let app = ["oauth", "client", "create", "--name", "The app", "--id", "app", "--public", "--first-party"];
        let app =
            [&app[..], &["--scope", all, "--redirect-uri", "http://127.0.0.1/callback", "--device-code"]].concat();
        home.run(&app);
        let bound = ["oauth", "client", "create", "--name", "Bound", "--id", "bound", "--public", "--first-party"];
        let bound = [&bound[..], &["--scope", all, "--redirect-uri", "http://127.0.0.1/callback", "--requires-dpop"]];
        home.run(&bound.concat());
        let shop = ["oauth", "client", "create", "--name", "Spare parts", "--id", "shop", "--json", "--introspects"];
        let shop = [&shop[..], &["--redirect-uri", "https://shop.example/callback"]].concat();
        let shop: Value = serde_json::from_str(&home.run(&shop)).unwrap();
        let mut ada = Browser::new(&web);
        ada.sign_up(&home, ADA);
        Self { home, server, web, ada, shop_secret: shop["client_secret"].as_str().unwrap().to_owned() }
    }

    /// The address to which the app sends a person, with some parameters changed or taken away.
    pub(crate) fn authorize(&self, changes: &[(&str, &str)]) -> String {
        let challenge = challenge();
        let usual = [
            ("client_id", "app"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", SCOPES),
            ("state", "s t/a+t&e"),
            ("nonce", "n0nce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let changed = changes.iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<_> = kept.chain(changed).copied().collect();
        format!("/oauth2/authorize?{}", encode(&fields))
    }

    /// A code for the app.
    pub(crate) fn code(&mut self) -> String {
        let answer = self.ada.clone().open(&self.authorize(&[]));
        answer.parameter("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
    }

    pub(crate) fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.web.post("/oauth2/token", &[], &[&[("client_id", "app")], fields].concat())
    }

    pub(crate) fn exchange(&self, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
    }

    /// Tokens for the app.
    pub(crate) fn tokens(&mut self) -> Answer {
        let code = self.code();
        let answer = self.exchange(&code);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    pub(crate) fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// The shop, which proves itself with its secret.
    pub(crate) fn shop(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let secret = self.shop_secret.as_str();
        self.web.post(path, &[], &[&[("client_id", "shop"), ("client_secret", secret)], fields].concat())
    }

    pub(crate) fn is_good(&self, access_token: &str) -> bool {
        match self.web.api("/v1/devices", access_token).status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

pub(crate) fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, VERIFIER.as_bytes()))
}

/// The claims of a token, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

#[test]
fn an_independent_client_signs_in_by_the_rules_of_native_apps() {
    let mut case = Case::new();
    let web = case.web.clone();
    let http = move |request: HttpRequest| -> Result<HttpResponse, std::io::Error> {
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let answer =
            web.request(request.method().as_str(), &path, &headers, std::str::from_utf8(request.body()).unwrap());
        let mut response = HttpResponse::new(answer.body.clone().into_bytes());
        *response.status_mut() = answer.status.try_into().unwrap();
        let kind = answer.header("content-type").unwrap().parse().unwrap();
        response.headers_mut().insert("content-type", kind);
        Ok(response)
    };
    let issuer = IssuerUrl::new(case.web.issuer()).unwrap();
    let metadata = CoreProviderMetadata::discover(&issuer, &http).unwrap();
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new("app".to_owned()), None)
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());
    let (pkce, verifier) = PkceCodeChallenge::new_random_sha256();
    let (address, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("email".to_owned()))
        .add_scope(Scope::new("offline_access".to_owned()))
        .add_scope(Scope::new("devices:read".to_owned()))
        .set_pkce_challenge(pkce)
        .url();
    let answer = case.ada.open(address.as_str().strip_prefix(issuer.as_str()).unwrap());
    assert!(answer.location().starts_with(CALLBACK), "{answer:?}");
    assert_eq!(answer.parameter("state").as_deref(), Some(state.secret().as_str()));
    assert_eq!(answer.parameter("iss").as_deref(), Some(issuer.as_str()), "RFC 9207");
    let code = AuthorizationCode::new(answer.parameter("code").unwrap());
    let tokens = client.exchange_code(code).unwrap().set_pkce_verifier(verifier).request(&http).unwrap();
    let id_token = tokens.id_token().unwrap();
    let id_verifier = client.id_token_verifier();
    let claims = id_token.claims(&id_verifier, &nonce).unwrap();
    let hash = AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg().unwrap(),
        id_token.signing_key(&id_verifier).unwrap(),
    );
    assert_eq!(Some(&hash.unwrap()), claims.access_token_hash());
    assert!(claims.auth_time().is_some());
    let info: openidconnect::core::CoreUserInfoClaims = client
        .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request(&http)
        .unwrap();
    assert_eq!(info.email().map(|email| email.as_str()), Some(ADA));
    assert!(case.is_good(tokens.access_token().secret()));
    let refreshed = client.exchange_refresh_token(tokens.refresh_token().unwrap()).unwrap().request(&http).unwrap();
    assert!(case.is_good(refreshed.access_token().secret()));
    assert_ne!(refreshed.refresh_token().unwrap().secret(), tokens.refresh_token().unwrap().secret());
}

#[test]
fn who_is_not_signed_in_signs_in_and_comes_back_with_a_code() {
    let case = Case::new();
    let mut browser = Browser::new(&case.web);
    let page = browser.open(&case.authorize(&[("login_hint", ADA)]));
    assert!(
        page.body.contains("to continue to The app") && page.body.contains(&format!("value=\"{ADA}\"")),
        "{page:?}"
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:51004;"), "{policy}");
    let answer = browser.sign_in(&page, ADA);
    let answer = browser.follow(answer);
    assert!(answer.parameter("code").is_some(), "{answer:?}");
}

#[test]
fn a_client_says_how_fresh_a_sign_in_is_and_whether_to_ask() {
    let case = Case::new();
    let nobody = Browser::new(&case.web).open(&case.authorize(&[("prompt", "none")]));
    assert_eq!(nobody.parameter("error").as_deref(), Some("login_required"));
    assert_eq!(nobody.parameter("iss"), Some(case.web.issuer()));
    let mut ada = case.ada.clone();
    assert!(ada.open(&case.authorize(&[("prompt", "none")])).parameter("code").is_some());
    for changes in [("prompt", "login"), ("max_age", "0")] {
        std::thread::sleep(Duration::from_millis(1100));
        let page = ada.open(&case.authorize(&[changes]));
        assert!(page.body.contains("action=\"/account/sign-in\""), "{changes:?}: {page:?}");
        let answer = ada.sign_in(&page, ADA);
        let answer = ada.follow(answer);
        assert!(answer.parameter("code").is_some(), "{changes:?}: {answer:?}");
    }
    let shop = [("client_id", "shop"), ("redirect_uri", "https://shop.example/callback"), ("scope", "openid")];
    let answer = ada.open(&case.authorize(&[&shop[..], &[("prompt", "none")]].concat()));
    assert_eq!(answer.parameter("error").as_deref(), Some("consent_required"));
}

#[test]
fn a_client_of_others_asks_for_consent_once() {
    let mut case = Case::new();
    let shop = [("client_id", "shop"), ("redirect_uri", "https://shop.example/callback"), ("scope", "openid email")];
    let address = case.authorize(&shop);
    let page = case.ada.open(&address);
    assert!(page.status == 200 && page.body.contains("Spare parts would like to:"), "{page:?}");
    let refused = case.ada.submit(&page, "/oauth2/consent", &[("decision", "refuse")]);
    assert_eq!(refused.parameter("error").as_deref(), Some("access_denied"));
    let allowed = case.ada.submit(&page, "/oauth2/consent", &[("decision", "allow")]);
    let code = allowed.parameter("code").unwrap();
    assert!(case.ada.open(&address).parameter("code").is_some(), "asked once");
    let more = case.authorize(&[&shop[..2], &[("scope", "openid devices:read")]].concat());
    assert_eq!(case.ada.open(&more).status, 200, "more is asked again");
    let again = case.authorize(&[&shop[..], &[("prompt", "consent")]].concat());
    assert_eq!(case.ada.open(&again).status, 200);
    let tokens = case.shop(
        "/oauth2/token",
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", "https://shop.example/callback"),
            ("code_verifier", VERIFIER),
        ],
    );
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(tokens.json().get("refresh_token").is_none(), "offline_access was not asked for");
}

#[test]
fn a_pushed_request_is_used_once() {
    let mut case = Case::new();
    let challenge = challenge();
    let pushed = case.web.post(
        "/oauth2/par",
        &[],
        &[
            ("client_id", "app"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "pushed"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ],
    );
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let uri = pushed.text("request_uri");
    let path = format!("/oauth2/authorize?{}", encode(&[("client_id", "app"), ("request_uri", &uri)]));
    let answer = case.ada.open(&path);
    assert_eq!(answer.parameter("state").as_deref(), Some("pushed"));
    assert_eq!(case.exchange(&answer.parameter("code").unwrap()).status, 200);
    let again = case.ada.open(&path);
    assert!(again.status == 400 && again.header("location").is_none(), "{again:?}");
    let other = format!("/oauth2/authorize?{}", encode(&[("client_id", "shop"), ("request_uri", &uri)]));
    assert_eq!(case.ada.open(&other).status, 400);
}

#[test]
fn a_service_gets_a_token_for_itself_and_may_ask_and_revoke() {
    let case = Case::new();
    let arguments = ["oauth", "client", "create", "--name", "Billing", "--id", "billing", "--service", "--json"];
    let made = case.home.run(&[&arguments[..], &["--scope", "operator"]].concat());
    let secret = serde_json::from_str::<Value>(&made).unwrap()["client_secret"].as_str().unwrap().to_owned();
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("billing:{secret}"));
    let basic = [("authorization", &*format!("Basic {basic}"))];
    let answer = case.web.post("/oauth2/token", &basic, &[("grant_type", "client_credentials"), ("scope", "operator")]);
    let token = answer.text("access_token");
    assert!(answer.json().get("refresh_token").is_none());
    assert!(case.is_good(&token));
    let about = |token: &str| case.shop("/oauth2/introspect", &[("token", token)]).json();
    let described = about(&token);
    assert_eq!((&described["active"], &described["client_id"]), (&json!(true), &json!("billing")), "{described}");
    let others = case.shop("/oauth2/revoke", &[("token", &token)]);
    assert_eq!(others.text("error"), "unauthorized_client", "another client's");
    assert_eq!(case.web.post("/oauth2/revoke", &basic, &[("token", &token)]).status, 200);
    assert!(!case.is_good(&token));
    assert_eq!(about(&token), json!({"active": false}));
    assert_eq!(about("nonsense"), json!({"active": false}));
}

#[test]
fn a_screen_without_a_keyboard_is_let_in_by_a_person() {
    let mut case = Case::new();
    let begun = case.web.post("/oauth2/device_authorization", &[], &[("client_id", "app"), ("scope", "devices:read")]);
    let (device_code, user_code) = (begun.text("device_code"), begun.text("user_code"));
    let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = |case: &Case| case.token(&[("grant_type", grant_type), ("device_code", &device_code)]);
    assert_eq!(poll(&case).text("error"), "authorization_pending");
    assert_eq!(poll(&case).text("error"), "slow_down");
    let complete = begun.text("verification_uri_complete");
    let page = case.ada.open(complete.strip_prefix(&case.web.issuer()).unwrap());
    let page = case.ada.submit(&page, "/device", &[("user_code", &user_code.to_lowercase())]);
    assert!(page.body.contains("The app would like to:"), "{page:?}");
    let done = case.ada.submit(&page, "/device/decision", &[("decision", "allow")]);
    assert_eq!(done.status, 200, "{done:?}");
    let tokens = poll(&case);
    assert!(case.is_good(&tokens.text("access_token")));
    assert_eq!(poll(&case).text("error"), "invalid_grant", "used");
}

#[test]
fn an_access_token_is_an_mqtt_password_until_its_sign_in_ends() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let connect = Connect { password: Some(access.as_bytes()), ..Connect::new("phone") };
    let connect = || {
        let stream = case.web.tls_stream(case.server.port_of("passwords"));
        Client::start_as(stream, &connect)
    };
    let mut phone = connect().unwrap();
    let began = Instant::now();
    assert_eq!(case.token_revoke(&refresh).status, 200);
    assert_eq!(phone.disconnected().unwrap(), ReasonCode::NotAuthorized);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(connect().is_err(), "a later CONNECT is refused, too");
    assert!(!case.is_good(&access));
}

impl Case {
    pub(crate) fn token_revoke(&self, token: &str) -> Answer {
        self.web.post("/oauth2/revoke", &[], &[("client_id", "app"), ("token", token)])
    }
}

#[test]
fn signing_out_ends_what_was_to_last_as_long_as_the_browser() {
    let mut case = Case::new();
    let stays = case.tokens();
    let code = case.ada.open(&case.authorize(&[("scope", "openid devices:read")])).parameter("code").unwrap();
    let goes = case.exchange(&code);
    let page = case.ada.open("/account/sign-out");
    let page = case.ada.submit(&page, "/account/sign-out", &[]);
    assert!(page.body.contains("You are signed out"), "{page:?}");
    assert!(!case.is_good(&goes.text("access_token")));
    assert!(case.is_good(&stays.text("access_token")), "offline_access outlives the browser's session");
    assert!(case.ada.open("/account").body.contains("action=\"/account/sign-in\""));
}

#[test]
fn a_client_that_is_removed_has_nothing_within_a_second() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let access = tokens.text("access_token");
    assert!(case.is_good(&access));
    case.home.run(&["oauth", "client", "remove", "app"]);
    let began = Instant::now();
    while case.is_good(&access) {
        assert!(began.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(case.refresh(&tokens.text("refresh_token")).text("error"), "invalid_client");
}

#[test]
fn keys_and_tokens_outlive_a_restart() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let keys = case.web.get("/oauth2/jwks", &[]).json();
    let settings = format!("[oauth]\nissuer = \"{}\"", case.web.issuer());
    drop(case.server);
    let config = std::fs::read_to_string(case.home.path().join("mooring.toml")).unwrap();
    std::fs::write(case.home.path().join("mooring.toml"), format!("{settings}\n{config}")).unwrap();
    let server = case.home.start();
    let web = Web::new(&case.home, &server);
    assert_eq!(web.get("/oauth2/jwks", &[]).json(), keys);
    assert_eq!(web.api("/v1/devices", &tokens.text("access_token")).status, 200);
    let metadata = web.get("/.well-known/oauth-authorization-server", &[]);
    assert_eq!(metadata.text("issuer"), case.web.issuer());
    assert_eq!(metadata.json(), web.get("/.well-known/openid-configuration", &[]).json());
    assert_eq!(parameter("x?a=b%20c", "a").as_deref(), Some("b c"));
}
