//! What an attacker tries against the OAuth provider and its pages, each by its name.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::oauth::{ADA, CALLBACK, Case, VERIFIER, claims};
use crate::web::{Answer, Browser, PASSWORD, Web, encode, mail_to};

#[test]
fn attack_pkce_missing_or_plain() {
    let mut case = Case::new();
    for changes in [
        &[("code_challenge", ""), ("code_challenge_method", "")][..],
        &[("code_challenge_method", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "s256")],
        &[("code_challenge", "short")],
        &[("code_challenge", "")],
    ] {
        let answer = case.ada.open(&case.authorize(changes));
        assert_eq!(answer.parameter("error").as_deref(), Some("invalid_request"), "{changes:?}: {answer:?}");
        assert_eq!(answer.parameter("code"), None);
    }
}

#[test]
fn attack_pkce_wrong_verifier_uses_the_code_up() {
    let mut case = Case::new();
    let exchange = |case: &Case, code: &str, verifier: &str| {
        let usual = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        case.token(&[&usual[..], &[("code_verifier", verifier)]].concat())
    };
    let wrong = "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong";
    let code = case.code();
    assert_eq!(exchange(&case, &code, "").text("error"), "invalid_request");
    assert_eq!(exchange(&case, &code, wrong).text("error"), "invalid_grant");
    assert_eq!(exchange(&case, &code, VERIFIER).text("error"), "invalid_grant");
}

#[test]
fn attack_replayed_code_ends_what_it_was_exchanged_for() {
    let mut case = Case::new();
    let code = case.code();
    let tokens = case.exchange(&code);
    assert!(case.is_good(&tokens.text("access_token")));
    assert_eq!(case.exchange(&code).text("error"), "invalid_grant");
    assert!(!case.is_good(&tokens.text("access_token")));
    assert_eq!(case.refresh(&tokens.text("refresh_token")).text("error"), "invalid_grant");
}

#[test]
fn attack_code_of_another_client_or_address() {
    let mut case = Case::new();
    let stolen = case.code();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", stolen.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(case.shop("/oauth2/token", &fields).text("error"), "invalid_grant");
    let code = case.code();
    for redirect_uri in ["http://127.0.0.1/callback", "http://127.0.0.1:51005/callback", ""] {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", VERIFIER),
        ];
        assert_ne!(case.token(&fields).status, 200, "{redirect_uri}");
    }
}

#[test]
fn attack_redirect_uri_tricks_and_open_redirect() {
    let mut case = Case::new();
    for evil in [
        "https://evil.example/callback",
        "http://127.0.0.1:51004/callback/../evil",
        "http://127.0.0.1:51004/callback2",
        "http://127.0.0.1:51004/Callback",
        "http://127.0.0.1:51004/%63allback",
        "http://127.0.0.1:51004/callback?x=1",
        "http://127.0.0.1:51004/callback#x",
        "http://127.0.0.1:51004@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:51004.evil.example/callback",
        "http://localhost:51004/callback",
        "http://[::1]:51004/callback",
        "https://127.0.0.1:51004/callback",
        "http://127.0.0.1:51004/callback\r\nlocation: https://evil.example",
        "//evil.example/callback",
        "javascript:alert(1)",
        "",
    ] {
        let answer = case.ada.get(&case.authorize(&[("redirect_uri", evil)]));
        assert_eq!(answer.status, 400, "{evil}: {answer:?}");
        assert_eq!(answer.header("location"), None, "{evil}");
    }
    let twice = format!("{}&redirect_uri=https%3A%2F%2Fevil.example", case.authorize(&[]));
    assert_eq!(case.ada.get(&twice).status, 400, "a parameter that is there twice");
    let unknown = case.ada.get(&case.authorize(&[("client_id", "nobody")]));
    assert!(unknown.header("location").is_none() && unknown.status >= 400);
    for next in
        ["https://evil.example/", "//evil.example/", "/\\evil.example", "/account/../../evil", "javascript:alert(1)"]
    {
        let mut browser = Browser::new(&case.web);
        let page = browser.get(&format!("/account/sign-in?{}", encode(&[("next", next)])));
        let answer = browser.sign_in(&page, ADA);
        assert_eq!((answer.status, answer.location()), (303, "/account"), "{next}");
    }
    let out = format!(
        "/oauth2/logout?{}",
        encode(&[("client_id", "shop"), ("post_logout_redirect_uri", "https://evil.example/")])
    );
    let page = case.ada.open(&out);
    let page = case.ada.submit(&page, "/account/sign-out", &[]);
    assert!(page.status == 200 && page.header("location").is_none(), "{page:?}");
}

/// Forges access tokens: with the server's own key, and without it.
struct Forge {
    pair: Ed25519KeyPair,
    header: Value,
    claims: Value,
    public: Vec<u8>,
}

impl Forge {
    fn new(case: &mut Case) -> Self {
        let token = case.tokens().text("access_token");
        let mut keys = std::fs::read_dir(case.home.data_dir().join("oauth")).unwrap();
        let text = std::fs::read_to_string(keys.next().unwrap().unwrap().path()).unwrap();
        let pkcs8 = BASE64_STANDARD.decode(text.lines().nth(1).unwrap()).unwrap();
        let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let jwks = case.web.get("/oauth2/jwks", &[]).json();
        Self {
            pair: Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap(),
            header: serde_json::from_slice(&header).unwrap(),
            claims: claims(&token),
            public: BASE64_URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap(),
        }
    }

    /// The header as the server writes it: names in its order.
    fn message(header: &str, claims: &Value) -> String {
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn own_header(&self, typ: &str) -> String {
        format!("{{\"alg\":\"EdDSA\",\"typ\":\"{typ}\",\"kid\":\"{}\"}}", self.header["kid"].as_str().unwrap())
    }

    /// By the server's own key, with some claims changed.
    fn signed(&self, typ: &str, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims.clone();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let message = Self::message(&self.own_header(typ), &claims);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

#[test]
fn attack_token_with_alg_none_or_hs256() {
    let mut case = Case::new();
    let forge = Forge::new(&mut case);
    let kid = forge.header["kid"].clone();
    assert!(case.is_good(&forge.signed("at+jwt", &[])), "the forge works");
    for alg in ["none", "None", "NONE"] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
        let message = Forge::message(&header, &forge.claims);
        let good = forge.signed("at+jwt", &[]);
        let signature = good.rsplit('.').next().unwrap();
        for forged in [format!("{message}."), format!("{message}.{signature}")] {
            assert!(!case.is_good(&forged), "{alg}");
        }
    }
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}).to_string();
    let message = Forge::message(&header, &forge.claims);
    for secret in [forge.public.clone(), BASE64_URL_SAFE_NO_PAD.encode(&forge.public).into_bytes()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        assert!(!case.is_good(&format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))));
    }
}

#[test]
fn attack_token_wrong_audience_issuer_kind_or_time() {
    let mut case = Case::new();
    let forge = Forge::new(&mut case);
    let now = forge.claims["iat"].as_i64().unwrap();
    for (what, forged) in [
        ("audience", forge.signed("at+jwt", &[("aud", json!("https://shop.example"))])),
        ("audiences", forge.signed("at+jwt", &[("aud", json!([case.web.issuer()]))])),
        ("issuer", forge.signed("at+jwt", &[("iss", json!("https://evil.example"))])),
        ("expired", forge.signed("at+jwt", &[("exp", json!(now - 1))])),
        ("kind", forge.signed("JWT", &[])),
        ("no family", forge.signed("at+jwt", &[("sid", Value::Null)])),
    ] {
        assert!(!case.is_good(&forged), "{what}");
    }
    let tokens = case.tokens();
    assert!(!case.is_good(&tokens.text("id_token")), "an ID token is no access token");
    let other = Case::new();
    assert!(!other.is_good(&tokens.text("access_token")), "of another server");
}

#[test]
fn attack_token_after_revocation() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let access = tokens.text("access_token");
    assert_eq!(case.token_revoke(&access).status, 200);
    assert!(!case.is_good(&access));
    assert_eq!(case.refresh(&tokens.text("refresh_token")).text("error"), "invalid_grant");
    let info = case.web.api("/oauth2/userinfo", &access);
    assert!(info.status == 401 && info.header("www-authenticate").unwrap().contains("invalid_token"), "{info:?}");
}

#[test]
fn attack_refresh_token_reuse_ends_the_family() {
    let mut case = Case::new();
    let first = case.tokens();
    let second = case.refresh(&first.text("refresh_token"));
    assert!(case.is_good(&second.text("access_token")));
    assert_eq!(case.refresh(&first.text("refresh_token")).text("error"), "invalid_grant");
    assert_eq!(case.refresh(&second.text("refresh_token")).text("error"), "invalid_grant");
    for access in [first.text("access_token"), second.text("access_token")] {
        assert!(!case.is_good(&access));
    }
}

#[test]
fn attack_refresh_token_of_another_client_or_with_more_scopes() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let refresh = tokens.text("refresh_token");
    let stolen = case.shop("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
    assert_eq!(stolen.text("error"), "invalid_grant");
    let more = case.token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", "devices:write")]);
    assert_eq!(more.text("error"), "invalid_scope");
    let less = case.token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", "openid")]);
    assert_eq!(less.text("scope"), "openid");
    let operator = case.ada.open(&case.authorize(&[("scope", "operator")]));
    assert_eq!(operator.parameter("error").as_deref(), Some("invalid_scope"));
}

#[test]
fn attack_client_secret_guessed() {
    let case = Case::new();
    let fields = [("grant_type", "client_credentials"), ("client_id", "shop"), ("client_secret", "mcs_guess")];
    let guess = || case.web.post("/oauth2/token", &[], &fields);
    assert_eq!((guess().status, guess().text("error")), (401, "invalid_client".to_owned()));
    let answers: Vec<_> = (0..60).map(|_| guess().status).collect();
    assert_eq!(answers.last(), Some(&429), "{answers:?}");
}

/// Where a form is sent, the browser that got it, the page that has it, and what is filled in.
type Form = (&'static str, Browser, Answer, Vec<(&'static str, &'static str)>);

/// The forms, each with a page that has it and what it would do.
fn forms(case: &mut Case) -> Vec<Form> {
    let mut nobody = Browser::new(&case.web);
    let sign_in = nobody.open("/account/sign-in");
    let sign_up = nobody.open("/account/sign-up");
    let forgot = nobody.open("/account/forgot");
    let passkey = nobody.open("/account/passkey");
    let shop = [("client_id", "shop"), ("redirect_uri", "https://shop.example/callback"), ("scope", "openid")];
    let consent = case.ada.open(&case.authorize(&shop));
    let sign_out = case.ada.open("/account/sign-out");
    let device = case.ada.open("/device");
    vec![
        ("/account/sign-in", nobody.clone(), sign_in, vec![("email", ADA), ("password", PASSWORD)]),
        ("/account/sign-up", nobody.clone(), sign_up, vec![("email", "eve@example.com"), ("password", PASSWORD)]),
        ("/account/forgot", nobody.clone(), forgot, vec![("email", ADA)]),
        ("/account/passkey", nobody.clone(), passkey, vec![("credential", "{}")]),
        ("/oauth2/consent", case.ada.clone(), consent, vec![("decision", "allow")]),
        ("/account/sign-out", case.ada.clone(), sign_out, vec![]),
        ("/device", case.ada.clone(), device, vec![("user_code", "BCDF-GHJK")]),
    ]
}

#[test]
fn attack_csrf_on_each_form() {
    let mut case = Case::new();
    let mut eve = Browser::new(&case.web);
    for (path, browser, page, fields) in forms(&mut case) {
        let hidden = page.form(path);
        let eves = eve.open("/account/sign-in").form("/account/sign-in");
        let eves = eves.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
        let own = hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
        let cross_site = [("origin", "https://evil.example")];
        for (what, csrf, headers) in [
            ("none", "", &[][..]),
            ("of another browser", &*eves, &[]),
            ("from another site", &*own, &cross_site),
            ("from another site, as the browser says", &*own, &[("sec-fetch-site", "cross-site")]),
        ] {
            let hidden =
                hidden.iter().filter(|(name, _)| name != "csrf" && !fields.iter().any(|(known, _)| known == name));
            let hidden: Vec<_> = hidden.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut victim = browser.clone();
            let answer = victim.post_from(path, headers, &[&hidden[..], &fields, &[("csrf", csrf)]].concat());
            // The form is shown again, or, for consent, the question.
            let harmless =
                answer.status == 403 || (answer.status == 303 && answer.location().starts_with("/oauth2/authorize?"));
            assert!(harmless, "{path}, {what}: {answer:?}");
            assert_eq!(victim.cookies, browser.cookies, "{path}, {what}");
        }
    }
    assert!(case.ada.open("/account").body.contains(ADA), "still signed in");
    assert!(
        !case
            .home
            .data_dir()
            .join("outbox")
            .read_dir()
            .unwrap()
            .any(|entry| { std::fs::read_to_string(entry.unwrap().path()).unwrap().contains("eve@example.com") })
    );
}

#[test]
fn attack_session_fixation() {
    let case = Case::new();
    let mut eve = Browser::new(&case.web);
    let page = eve.open("/account/sign-in");
    eve.cookies.insert("__Host-mooring-session".to_owned(), "A".repeat(43));
    let planted = eve.cookies.clone();
    let mut victim = eve.clone();
    let answer = victim.sign_in(&page, ADA);
    assert_eq!(answer.status, 303, "{answer:?}");
    for (name, value) in &planted {
        assert_ne!(victim.cookies.get(name), Some(value), "{name} is a new one");
    }
    assert!(eve.open("/account").body.contains("action=\"/account/sign-in\""), "what was planted is nobody's");
    let stale = victim.clone().submit(&page, "/account/sign-in", &[("email", ADA), ("password", PASSWORD)]);
    assert_eq!(stale.status, 403, "a form from before the sign-in");
}

#[test]
fn attack_header_injection() {
    let mut case = Case::new();
    let evil = "x\r\nset-cookie: evil=1\r\n\r\n<script>alert(1)</script>";
    let answer = case.ada.open(&case.authorize(&[("state", evil)]));
    assert_eq!(answer.parameter("state").as_deref(), Some(evil), "it comes back encoded");
    let mut browser = Browser::new(&case.web);
    for path in [
        format!("/account/sign-in?{}", encode(&[("next", &format!("/account{evil}"))])),
        format!("/device?{}", encode(&[("user_code", evil)])),
        case.authorize(&[("login_hint", evil)]),
        case.authorize(&[("scope", evil)]),
        case.authorize(&[("client_id", evil)]),
        format!("/oauth2/logout?{}", encode(&[("state", evil), ("post_logout_redirect_uri", evil)])),
    ] {
        let answer = browser.get(&path);
        assert!(!answer.headers.iter().any(|(_, value)| value.contains("evil=1")), "{path}: {answer:?}");
        assert!(!answer.body.contains("<script>"), "{path}: {answer:?}");
    }
    let error = case.web.post("/oauth2/token", &[], &[("grant_type", evil)]);
    assert!(error.status == 400 && !error.body.contains("\r\n"), "{error:?}");
}

#[test]
fn attack_xss_in_every_name_on_a_page() {
    let mut case = Case::new();
    let evil = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";
    let arguments = ["oauth", "client", "create", "--name", evil, "--id", "evil", "--public", "--device-code"];
    case.home
        .run(&[&arguments[..], &["--redirect-uri", "https://evil.example/callback", "--scope", "openid"]].concat());
    let request = [("client_id", "evil"), ("redirect_uri", "https://evil.example/callback"), ("scope", "openid")];
    let mut pages = Vec::new();
    let consent = case.ada.open(&case.authorize(&request));
    assert!(consent.body.contains("&lt;script&gt;"), "{consent:?}");
    pages.push(consent);
    let mut nobody = Browser::new(&case.web);
    let sign_in = nobody.open(&case.authorize(&[&request[..], &[("login_hint", evil)]].concat()));
    let sign_up = nobody.open("/account/sign-up");
    let forgot = nobody.open("/account/forgot");
    pages.push(nobody.submit(&sign_in, "/account/sign-in", &[("email", evil), ("password", evil)]));
    let fields = [("email", evil), ("display_name", evil), ("password", PASSWORD)];
    pages.push(nobody.submit(&sign_up, "/account/sign-up", &fields));
    pages.push(nobody.submit(&forgot, "/account/forgot", &[("email", evil)]));
    pages.push(nobody.open(&format!("/account/verify?{}", encode(&[("token", evil)]))));
    pages.push(nobody.open(&format!("/account/reset?{}", encode(&[("token", evil)]))));
    pages.push(nobody.open(&format!("/account/sign-in?{}", encode(&[("next", evil)]))));
    pages.push(nobody.open(&case.authorize(&[("redirect_uri", evil)])));
    pages.push(sign_in);
    let begun = case.web.post("/oauth2/device_authorization", &[], &[("client_id", "evil")]);
    let device = case.ada.open(&format!("/device?{}", encode(&[("user_code", evil)])));
    pages.push(case.ada.submit(&device, "/device", &[("user_code", &begun.text("user_code"))]));
    pages.push(case.ada.submit(&device, "/device", &[("user_code", evil)]));
    pages.push(device);
    for page in &pages {
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
        assert!(!page.body.contains("<script>") && !page.body.contains("<img"), "{page:?}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'"), "{policy}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn attack_user_code_guessed() {
    let mut case = Case::new();
    let page = case.ada.open("/device");
    let answers: Vec<_> =
        (0..12).map(|_| case.ada.submit(&page, "/device", &[("user_code", "BCDF-GHJK")]).status).collect();
    assert_eq!(answers[0], 400);
    assert_eq!(answers[11], 429, "{answers:?}");
}

#[test]
fn attack_link_of_a_reset_used_twice_and_its_sessions() {
    let mut case = Case::new();
    let tokens = case.tokens();
    let mut browser = Browser::new(&case.web);
    let page = browser.open("/account/forgot");
    browser.submit(&page, "/account/forgot", &[("email", ADA)]);
    let mail = mail_to(&case.home.data_dir(), ADA, "/account/reset?token=");
    let link = mail.lines().map(str::trim).find(|line| line.contains("/account/reset?token=")).unwrap();
    let path = link.strip_prefix(&case.web.issuer()).unwrap();
    let page = browser.open(path);
    let new = [("password", "quiet amber falcon lamp"), ("password_again", "quiet amber falcon lamp")];
    let done = browser.submit(&page, "/account/reset", &new);
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(browser.submit(&page, "/account/reset", &new).status, 410);
    assert!(case.ada.open("/account").body.contains("action=\"/account/sign-in\""), "signed out everywhere");
    assert!(!case.is_good(&tokens.text("access_token")));
    assert_eq!(case.refresh(&tokens.text("refresh_token")).text("error"), "invalid_grant");
    let web: &Web = &case.web;
    assert_eq!(web.api("/oauth2/userinfo", &tokens.text("access_token")).status, 401);
}

#[test]
fn attack_a_sign_in_that_the_client_wants_anew_is_not_talked_away() {
    let mut case = Case::new();
    let wished = case.authorize(&[("prompt", "login")]);
    let asked = case.ada.get(&wished);
    assert!(asked.location().starts_with("/account/sign-in"), "{asked:?}");
    // What we say of another request, and what others say.
    let next = asked.parameter("next").unwrap();
    let sealed = crate::web::parameter(&next, "signed_in_since").unwrap();
    let mut later = case.ada.clone();
    let page = later.open(asked.location());
    let signed_in = later.sign_in(&page, ADA);
    let answer = later.follow(signed_in);
    assert!(answer.parameter("code").is_some(), "the honest way: {answer:?}");
    let another = case.authorize(&[("prompt", "login"), ("state", "another")]);
    let (since, seal) = sealed.split_once('.').unwrap();
    for forged in ["0", "0.", &format!("0.{seal}"), &format!("{since}."), since] {
        let answer = later.get(&format!("{wished}&{}", encode(&[("signed_in_since", forged)])));
        assert!(answer.location().starts_with("/account/sign-in"), "{forged}: {answer:?}");
    }
    let answer = later.get(&format!("{another}&{}", encode(&[("signed_in_since", &sealed)])));
    assert!(answer.location().starts_with("/account/sign-in"), "of another request: {answer:?}");
}
