//! Proofs that are good, and those of attackers.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const ADDRESS: &str = "https://mooring.example/oauth2/token";
const NOW: OffsetDateTime = time::macros::datetime!(2026-03-01 12:00 UTC);

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key of a client: its public part, and how it signs.
struct Signer {
    jwk: Value,
    alg: &'static str,
    sign: Sign,
}

fn ed25519() -> Signer {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())});
    Signer { jwk, alg: "EdDSA", sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) }
}

fn p256() -> Signer {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let public = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(&public[1..33]), "y": base64url(&public[33..])});
    let sign = move |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    Signer { jwk, alg: "ES256", sign: Box::new(sign) }
}

fn header(signer: &Signer) -> Value {
    json!({"typ": "dpop+jwt", "alg": signer.alg, "jwk": signer.jwk})
}

fn claims() -> Value {
    json!({"jti": "one", "htm": "POST", "htu": ADDRESS, "iat": NOW.unix_timestamp()})
}

fn with(value: Value, key: &str, other: Value) -> Value {
    let mut value = value;
    value[key] = other;
    value
}

fn signed(signer: &Signer, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    format!("{message}.{}", base64url((signer.sign)(message.as_bytes())))
}

fn read(proofs: &Proofs, proof: &str) -> Result<Option<Proof>, ProofError> {
    let mut headers = HeaderMap::new();
    headers.insert(DPOP, HeaderValue::from_str(proof).unwrap());
    proofs.read(&headers, &Method::POST, ADDRESS, NOW)
}

#[track_caller]
fn refused(proof: &str, expected: ProofError) {
    assert_eq!(read(&Proofs::new().unwrap(), proof), Err(expected));
}

#[test]
fn a_proof_of_either_algorithm_is_taken_once() {
    for signer in [ed25519(), p256()] {
        let proofs = Proofs::new().unwrap();
        let text = signed(&signer, &header(&signer), &claims());
        let proof = read(&proofs, &text).unwrap().unwrap();
        assert_eq!(proof.require_nonce(), Err(ProofError::Nonce));
        assert_eq!(decode(&encode(&proof.jkt)), Some(proof.jkt));
        proofs.use_up(&proof).unwrap();
        assert_eq!(proofs.use_up(&proof), Err(ProofError::Replayed), "of two at once");
        assert_eq!(read(&proofs, &text), Err(ProofError::Replayed));
        let next = read(&proofs, &signed(&signer, &header(&signer), &with(claims(), "jti", json!("two")))).unwrap();
        assert_eq!(next.unwrap().jkt, proof.jkt);
    }
}

#[test]
fn the_thumbprint_is_that_of_the_rfc() {
    // RFC 9449, 6.1 with the key of 4.1.
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    });
    let key = Key::p256(jwk.as_object().unwrap()).ok().unwrap();
    assert_eq!(encode(&key.jkt), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

#[test]
fn a_nonce_is_good_for_its_period_and_the_next() {
    let (proofs, signer) = (Proofs::new().unwrap(), ed25519());
    let period = time::Duration::seconds(NONCE_PERIOD_S);
    for (made, is_good) in [(NOW, true), (NOW - period, true), (NOW - period * 2, false), (NOW + period, false)] {
        let claims = with(claims(), "nonce", json!(proofs.nonce(made)));
        let read = read(&proofs, &signed(&signer, &header(&signer), &claims));
        match is_good {
            true => assert_eq!(read.unwrap().unwrap().require_nonce(), Ok(())),
            false => assert_eq!(read, Err(ProofError::Nonce), "{made}"),
        }
    }
    let foreign = with(claims(), "nonce", json!(Proofs::new().unwrap().nonce(NOW)));
    assert_eq!(read(&proofs, &signed(&signer, &header(&signer), &foreign)), Err(ProofError::Nonce));
}

#[test]
fn attack_no_proof_chooses_an_algorithm_without_a_key_pair() {
    let signer = ed25519();
    for alg in ["none", "None", "", "HS256", "RS256", "ES384"] {
        let header = with(header(&signer), "alg", json!(alg));
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
        refused(&format!("{message}."), ProofError::Algorithm);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, signer.jwk["x"].as_str().unwrap().as_bytes());
        let tag = base64url(hmac::sign(&secret, message.as_bytes()));
        refused(&format!("{message}.{tag}"), ProofError::Algorithm);
    }
    // The key of one with the algorithm of the other.
    refused(&signed(&signer, &with(header(&signer), "alg", json!("ES256")), &claims()), ProofError::Key);
    let other = p256();
    refused(&signed(&other, &with(header(&other), "alg", json!("EdDSA")), &claims()), ProofError::Key);
}

#[test]
fn attack_a_key_with_a_private_or_foreign_part_is_refused() {
    let signer = p256();
    let changed = |name: &str, value: Value| with(header(&signer), "jwk", with(signer.jwk.clone(), name, value));
    for (name, value) in [
        ("d", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        ("k", json!("AAAA")),
        ("x5u", json!("https://evil.example/")),
        ("crv", json!("P-384")),
        ("kty", json!("oct")),
        ("x", json!("AAAA")),
        ("y", Value::Null),
        ("x", json!(format!("{}=", signer.jwk["x"].as_str().unwrap()))),
    ] {
        refused(&signed(&signer, &changed(name, value), &claims()), ProofError::Key);
    }
    // The point is not on the curve.
    let off = changed("y", signer.jwk["x"].clone());
    refused(&signed(&signer, &off, &claims()), ProofError::Signature);
    // The signature of another key.
    refused(&signed(&p256(), &header(&signer), &claims()), ProofError::Signature);
}

#[test]
fn attack_a_proof_of_another_request_or_time_is_refused() {
    let signer = ed25519();
    let changed = |name: &str, value: Value| signed(&signer, &header(&signer), &with(claims(), name, value));
    for (name, value) in [
        ("htm", json!("GET")),
        ("htm", json!("post")),
        ("htu", json!("https://mooring.example/oauth2/par")),
        ("htu", json!("https://evil.example/oauth2/token")),
        ("htu", json!("http://mooring.example/oauth2/token")),
        ("htu", json!("https://mooring.example:444/oauth2/token")),
        ("htu", json!("/oauth2/token")),
        ("htu", json!("")),
    ] {
        refused(&changed(name, value), ProofError::Request);
    }
    for iat in [NOW.unix_timestamp() - 61, NOW.unix_timestamp() + 11, 0, i64::MIN, i64::MAX] {
        refused(&changed("iat", json!(iat)), ProofError::Time);
    }
    for same in ["https://MOORING.example:443/oauth2/token?a=b#c", "https://mooring.example/oauth2/x/../token"] {
        assert!(read(&Proofs::new().unwrap(), &changed("htu", json!(same))).is_ok(), "{same}");
    }
}

#[test]
fn attack_what_is_no_proof_is_refused() {
    let signer = ed25519();
    let good = signed(&signer, &header(&signer), &claims());
    for (name, value) in [("typ", json!("JWT")), ("crit", json!(["exp"])), ("jwk", json!("x"))] {
        refused(&signed(&signer, &with(header(&signer), name, value), &claims()), ProofError::Malformed);
    }
    for name in ["jti", "htm", "htu", "iat"] {
        refused(&signed(&signer, &header(&signer), &with(claims(), name, Value::Null)), ProofError::Malformed);
    }
    for jti in [String::new(), "j".repeat(JTI_CHARS_MAX + 1)] {
        refused(&signed(&signer, &header(&signer), &with(claims(), "jti", json!(jti))), ProofError::Malformed);
    }
    for text in ["", ".", "..", "a.b.c", &good[1..], &format!("{good}.x"), &"a.".repeat(PROOF_BYTES_MAX)] {
        assert!(read(&Proofs::new().unwrap(), text).is_err(), "{text}");
    }
    let mut twice = HeaderMap::new();
    twice.append(DPOP, HeaderValue::from_str(&good).unwrap());
    twice.append(DPOP, HeaderValue::from_str(&good).unwrap());
    let read = Proofs::new().unwrap().read(&twice, &Method::POST, ADDRESS, NOW);
    assert_eq!(read, Err(ProofError::Missing));
}

#[test]
fn attack_a_proof_is_for_one_token_of_its_key() {
    let (signer, proofs) = (ed25519(), Proofs::new().unwrap());
    let ath = sha256_base64url(b"token");
    let claims = with(claims(), "ath", json!(ath));
    let proof = read(&proofs, &signed(&signer, &header(&signer), &claims)).unwrap().unwrap();
    assert_eq!(proof.require_token("token", &proof.jkt), Ok(()));
    assert_eq!(proof.require_token("another", &proof.jkt), Err(ProofError::Token));
    assert_eq!(proof.require_token("token", &[0; 32]), Err(ProofError::OtherKey));
}
