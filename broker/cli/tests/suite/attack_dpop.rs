//! Tokens that are bound to a key (DPoP, RFC 9449): how a client uses them, and what a thief tries.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mooring_protocol::Connect;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::mqtt::Client;
use crate::oauth::{CALLBACK, Case, VERIFIER, claims};
use crate::web::{Answer, Web, encode};

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A client's key, and the nonce that it was last given.
struct Key {
    jwk: Value,
    alg: &'static str,
    sign: Sign,
    nonce: RefCell<Option<String>>,
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(text: &str) -> String {
    base64url(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

impl Key {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let public = pair.public_key().as_ref();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(&public[1..33]), "y": base64url(&public[33..])});
        let sign = move |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
        Self { jwk, alg: "ES256", sign: Box::new(sign), nonce: RefCell::default() }
    }

    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())});
        let sign = move |message: &[u8]| pair.sign(message).as_ref().to_vec();
        Self { jwk, alg: "EdDSA", sign: Box::new(sign), nonce: RefCell::default() }
    }

    fn thumbprint(&self) -> String {
        let member = |name: &str| self.jwk[name].as_str().unwrap().to_owned();
        let (x, kind) = (member("x"), member("crv"));
        match self.alg {
            "EdDSA" => sha256(&format!("{{\"crv\":\"{kind}\",\"kty\":\"OKP\",\"x\":\"{x}\"}}")),
            _ => sha256(&format!("{{\"crv\":\"{kind}\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{}\"}}", member("y"))),
        }
    }

    /// The claims of a good proof, with some changed.
    fn claims(&self, method: &str, address: &str, changes: Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"jti": Uuid::now_v7(), "htm": method, "htu": address, "iat": now});
        if let Some(nonce) = &*self.nonce.borrow() {
            claims["nonce"] = json!(nonce);
        }
        let Value::Object(changes) = changes else { panic!("{changes}") };
        claims.as_object_mut().unwrap().extend(changes);
        claims
    }

    fn proof(&self, method: &str, address: &str, changes: Value) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk});
        self.signed(&header, &self.claims(method, address, changes))
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        format!("{message}.{}", base64url((self.sign)(message.as_bytes())))
    }

    /// Sends parameters with a proof; once more when a nonce is asked for.
    fn post(&self, web: &Web, path: &str, fields: &[(&str, &str)]) -> Answer {
        let address = format!("{}{path}", web.issuer());
        let send = || web.post(path, &[("dpop", &self.proof("POST", &address, json!({})))], fields);
        let answer = send();
        *self.nonce.borrow_mut() = answer.header("dpop-nonce").map(str::to_owned);
        if answer.status == 400 && answer.text("error") == "use_dpop_nonce" { send() } else { answer }
    }

    /// The API, with a token and a proof for it.
    fn api(&self, web: &Web, path: &str, token: &str) -> Answer {
        let address = format!("{}{path}", web.issuer());
        self.api_with(web, path, token, &self.proof("GET", &address, json!({"ath": sha256(token)})))
    }

    fn api_with(&self, web: &Web, path: &str, token: &str, proof: &str) -> Answer {
        web.get(path, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
    }
}

/// A code for a client, with parameters of one's own.
fn code(case: &Case, changes: &[(&str, &str)]) -> String {
    let answer = case.ada.clone().open(&case.authorize(changes));
    answer.parameter("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
}

fn by_code<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("client_id", client),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

fn by_refresh<'a>(client: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [("client_id", client), ("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// Tokens of the app that are bound to a key.
fn bound(case: &Case, key: &Key) -> Answer {
    let code = code(case, &[]);
    let answer = key.post(&case.web, "/oauth2/token", &by_code("app", &code));
    assert_eq!((answer.status, answer.text("token_type").as_str()), (200, "DPoP"), "{answer:?}");
    answer
}

#[test]
fn a_client_shows_its_key_with_each_request() {
    let case = Case::new();
    let metadata = case.web.get("/.well-known/openid-configuration", &[]);
    assert_eq!(metadata.json()["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA"]));
    for key in [Key::p256(), Key::ed25519()] {
        let tokens = bound(&case, &key);
        let access = tokens.text("access_token");
        assert_eq!(claims(&access)["cnf"]["jkt"], key.thumbprint());
        for path in ["/v1/devices", "/v1/devices?limit=3", "/oauth2/userinfo"] {
            assert_eq!(key.api(&case.web, path, &access).status, 200, "{path}");
        }
        let told = case.shop("/oauth2/introspect", &[("token", &access)]).json();
        assert_eq!((&told["token_type"], &told["cnf"]["jkt"]), (&json!("DPoP"), &json!(key.thumbprint())));
        let refreshed = key.post(&case.web, "/oauth2/token", &by_refresh("app", &tokens.text("refresh_token")));
        assert_eq!(claims(&refreshed.text("access_token"))["cnf"]["jkt"], key.thumbprint());
        assert_eq!(key.api(&case.web, "/v1/devices", &refreshed.text("access_token")).status, 200);
    }
}

#[test]
fn attack_stolen_bound_token_without_the_key() {
    let case = Case::new();
    let (owner, thief) = (Key::p256(), Key::p256());
    let tokens = bound(&case, &owner);
    let access = tokens.text("access_token");
    let bearer = case.web.api("/v1/devices", &access);
    assert_eq!(bearer.status, 401);
    assert!(bearer.headers.iter().any(|(name, value)| name == "www-authenticate" && value.starts_with("DPoP")));
    assert_eq!(case.web.api("/oauth2/userinfo", &access).status, 401);
    assert_eq!(case.web.api("/v1/stream", &access).status, 401);
    for path in ["/v1/devices", "/oauth2/userinfo"] {
        let without = case.web.get(path, &[("authorization", &format!("DPoP {access}"))]);
        assert_eq!(without.status, 401, "{path}");
        assert_eq!(thief.api(&case.web, path, &access).status, 401, "{path}: the thief's own key");
    }
    // The token's key named, the thief's used.
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": owner.jwk});
    let address = format!("{}/v1/devices", case.web.issuer());
    let forged = thief.signed(&header, &thief.claims("GET", &address, json!({"ath": sha256(&access)})));
    assert_eq!(thief.api_with(&case.web, "/v1/devices", &access, &forged).status, 401);
    // A token that is bound to nothing is not made better by a proof.
    let mut case = case;
    let unbound = case.tokens().text("access_token");
    assert_eq!(thief.api(&case.web, "/v1/devices", &unbound).status, 401);
}

#[test]
fn attack_proof_of_another_request_token_or_time() {
    let case = Case::new();
    let key = Key::ed25519();
    let access = bound(&case, &key).text("access_token");
    let address = format!("{}/v1/devices", case.web.issuer());
    let ath = sha256(&access);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ask = |method: &str, address: &str, changes: Value| {
        let proof = key.proof(method, address, changes);
        key.api_with(&case.web, "/v1/devices", &access, &proof).status
    };
    assert_eq!(ask("GET", &address, json!({"ath": ath})), 200);
    for (what, method, address, changes) in [
        ("htm", "POST", address.as_str(), json!({"ath": ath})),
        ("htu", "GET", &format!("{address}/"), json!({"ath": ath})),
        ("htu", "GET", &case.web.issuer(), json!({"ath": ath})),
        ("htu", "GET", "https://evil.example/v1/devices", json!({"ath": ath})),
        ("no ath", "GET", &address, json!({})),
        ("ath", "GET", &address, json!({"ath": sha256("another")})),
        ("old", "GET", &address, json!({"ath": ath, "iat": now - 120})),
        ("of the future", "GET", &address, json!({"ath": ath, "iat": now + 120})),
        ("nonce", "GET", &address, json!({"ath": ath, "nonce": "guessed"})),
    ] {
        assert_eq!(ask(method, address, changes), 401, "{what}");
    }
}

#[test]
fn attack_replayed_proof() {
    let case = Case::new();
    let key = Key::p256();
    let tokens = bound(&case, &key);
    let access = tokens.text("access_token");
    let address = format!("{}/v1/devices", case.web.issuer());
    let proof = key.proof("GET", &address, json!({"ath": sha256(&access)}));
    assert_eq!(key.api_with(&case.web, "/v1/devices", &access, &proof).status, 200);
    assert_eq!(key.api_with(&case.web, "/v1/devices", &access, &proof).status, 401);
    // The same for tokens: a proof that was overheard does not go with another refresh token of the same key.
    let other = bound(&case, &key).text("refresh_token");
    let address = format!("{}/oauth2/token", case.web.issuer());
    let proof = key.proof("POST", &address, json!({}));
    let send = |token: &str| case.web.post("/oauth2/token", &[("dpop", &proof)], &by_refresh("app", token));
    assert_eq!(send(&tokens.text("refresh_token")).status, 200);
    assert_eq!(send(&other).text("error"), "invalid_dpop_proof");
}

#[test]
fn attack_proof_without_a_key_pair_or_with_a_private_key() {
    let case = Case::new();
    let key = Key::p256();
    let code = code(&case, &[]);
    // For the nonce, with a code that is none.
    key.post(&case.web, "/oauth2/token", &by_code("app", "mac_none"));
    let address = format!("{}/oauth2/token", case.web.issuer());
    let claims = || key.claims("POST", &address, json!({}));
    let private = {
        let mut jwk = key.jwk.clone();
        jwk["d"] = json!(base64url([1; 32]));
        jwk
    };
    let unsigned = |alg: &str| {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": key.jwk});
        format!("{}.{}.", base64url(header.to_string()), base64url(claims().to_string()))
    };
    let hs256 = {
        let header = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": base64url([1; 32])}});
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
        let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[1; 32]);
        format!("{message}.{}", base64url(ring::hmac::sign(&mac, message.as_bytes())))
    };
    let header = |jwk: &Value, typ: &str| json!({"typ": typ, "alg": "ES256", "jwk": jwk});
    for (what, proof) in [
        ("none", unsigned("none")),
        ("ES256 without a signature", unsigned("ES256")),
        ("HS256", hs256),
        ("a private key", key.signed(&header(&private, "dpop+jwt"), &claims())),
        ("another kind of token", key.signed(&header(&key.jwk, "at+jwt"), &claims())),
        ("no token at all", "proof".to_owned()),
    ] {
        let answer = case.web.post("/oauth2/token", &[("dpop", &proof)], &by_code("app", &code));
        assert_eq!(answer.text("error"), "invalid_dpop_proof", "{what}");
    }
    assert_eq!(key.post(&case.web, "/oauth2/token", &by_code("app", &code)).status, 200, "the code is still good");
}

#[test]
fn attack_proof_made_in_advance_lacks_the_nonce() {
    let case = Case::new();
    let key = Key::ed25519();
    let code = code(&case, &[]);
    let address = format!("{}/oauth2/token", case.web.issuer());
    for changes in [json!({}), json!({"nonce": "guessed"})] {
        let proof = key.proof("POST", &address, changes);
        let answer = case.web.post("/oauth2/token", &[("dpop", &proof)], &by_code("app", &code));
        assert_eq!((answer.status, answer.text("error").as_str()), (400, "use_dpop_nonce"));
        assert!(answer.header("dpop-nonce").is_some());
    }
}

#[test]
fn attack_refresh_token_with_another_key_or_none() {
    let case = Case::new();
    let (owner, thief) = (Key::p256(), Key::ed25519());
    let refresh = bound(&case, &owner).text("refresh_token");
    let fields = by_refresh("app", &refresh);
    assert_eq!(thief.post(&case.web, "/oauth2/token", &fields).text("error"), "invalid_grant");
    assert_eq!(case.web.post("/oauth2/token", &[], &fields).text("error"), "invalid_grant");
    let next = owner.post(&case.web, "/oauth2/token", &fields);
    assert_eq!(next.status, 200, "a thief without the key has not used it up: {next:?}");
}

#[test]
fn attack_code_with_another_key_than_the_one_that_asked() {
    let case = Case::new();
    let (owner, thief) = (Key::p256(), Key::p256());
    let jkt = owner.thumbprint();
    for key in [Some(&thief), None] {
        let code = code(&case, &[("dpop_jkt", &jkt)]);
        let fields = by_code("app", &code);
        let answer = match key {
            Some(key) => key.post(&case.web, "/oauth2/token", &fields),
            None => case.web.post("/oauth2/token", &[], &fields),
        };
        assert_eq!(answer.text("error"), "invalid_grant");
    }
    let good = code(&case, &[("dpop_jkt", &jkt)]);
    assert_eq!(owner.post(&case.web, "/oauth2/token", &by_code("app", &good)).status, 200);
    let malformed = case.ada.clone().open(&case.authorize(&[("dpop_jkt", "short")]));
    assert_eq!(malformed.parameter("error").as_deref(), Some("invalid_request"));
    // A pushed request is for the key that it was pushed with.
    let address = case.authorize(&[]);
    let fields = crate::web::parameters(&address);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pushed = owner.post(&case.web, "/oauth2/par", &fields);
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let query = encode(&[("client_id", "app"), ("request_uri", &pushed.text("request_uri"))]);
    let code = case.ada.clone().open(&format!("/oauth2/authorize?{query}")).parameter("code").unwrap();
    assert_eq!(thief.post(&case.web, "/oauth2/token", &by_code("app", &code)).text("error"), "invalid_grant");
    let other = [&fields[..], &[("dpop_jkt", jkt.as_str())]].concat();
    assert_eq!(thief.post(&case.web, "/oauth2/par", &other).text("error"), "invalid_dpop_proof");
}

#[test]
fn attack_bearer_tokens_for_a_client_that_has_to_show_a_key() {
    let case = Case::new();
    let key = Key::ed25519();
    let code = code(&case, &[("client_id", "bound")]);
    let fields = by_code("bound", &code);
    assert_eq!(case.web.post("/oauth2/token", &[], &fields).text("error"), "invalid_dpop_proof");
    let tokens = key.post(&case.web, "/oauth2/token", &fields);
    assert_eq!((tokens.status, tokens.text("token_type").as_str()), (200, "DPoP"), "{tokens:?}");
    let refresh = tokens.text("refresh_token");
    assert_eq!(case.web.post("/oauth2/token", &[], &by_refresh("bound", &refresh)).text("error"), "invalid_dpop_proof");
}

#[test]
fn attack_bound_token_as_mqtt_password() {
    let mut case = Case::new();
    let tokens = bound(&case, &Key::p256());
    let unbound = case.tokens().text("access_token");
    let lets_in = |token: &str| {
        let stream = case.web.tls_stream(case.server.port_of("passwords"));
        let connect = Connect { password: Some(token.as_bytes()), ..Connect::new("phone") };
        Client::start_as(stream, &connect).is_ok()
    };
    assert!(!lets_in(&tokens.text("access_token")));
    assert!(lets_in(&unbound), "the same rights, bound to nothing");
}
