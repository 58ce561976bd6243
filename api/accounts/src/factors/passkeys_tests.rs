//! Passkeys with an authenticator in software.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use mooring_auth::Argon2Cost;
use mooring_store::{NewAccount, Store, StoreOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use super::passkeys::PasskeyAnswer;
use super::webauthn::tests::{SoftKey, client_data};
use crate::{
    AccountKey, Accounts, AccountsConfig, AccountsError, Mail, MailError, Mailer, Proof, SecondFactor, SignIn, Visitor,
};

const ORIGIN: &str = "https://example.com:8443";
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "tidal wharf pigeon";

struct Nowhere;

impl Mailer for Nowhere {
    fn deliver<'a>(&'a self, _: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async { Ok(()) })
    }
}

struct Bench {
    accounts: Accounts,
    user: Uuid,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("mooring.db").display());
        let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        let mut config = AccountsConfig::new(ORIGIN, AccountKey::new(&[7; 32]));
        config.argon2 = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
        let accounts = Accounts::new(store.clone(), config, Arc::new(Nowhere)).unwrap();
        let hash = accounts.inner.hasher.hash(zeroize::Zeroizing::new(PASSWORD.to_owned())).await.unwrap();
        let account = NewAccount {
            id: Uuid::now_v7(),
            email: EMAIL.to_owned(),
            display_name: String::new(),
            language: "en".to_owned(),
            password: Some(hash),
            verified_at: None,
        };
        store.create_account(&account, OffsetDateTime::now_utc()).await.unwrap();
        Self { accounts, user: account.id, _dir: dir }
    }

    /// Adds a passkey; says how many recovery codes came with it.
    async fn add(&self, key: &SoftKey) -> usize {
        let proof = Proof::Password(PASSWORD);
        let creation = self.accounts.start_passkey(self.user, proof, &visitor()).await.unwrap();
        assert_eq!(creation.options["user"]["id"], URL_SAFE_NO_PAD.encode(self.user.as_bytes()));
        let data = client_data("webauthn.create", challenge(&creation.options), ORIGIN);
        let attestation = key.attestation("example.com", 0x45);
        let response = json!({"clientDataJSON": encoded(&data), "attestationObject": encoded(&attestation)});
        let answer = answer(&key.id, &response);
        let codes = self.accounts.finish_passkey(self.user, creation.pending.reveal(), "phone", &answer).await.unwrap();
        codes.map_or(0, |codes| codes.len())
    }

    async fn pending(&self) -> String {
        match self.accounts.sign_in(EMAIL, PASSWORD, &visitor()).await.unwrap() {
            SignIn::SecondFactor { pending, methods } => {
                assert_eq!(methods, [SecondFactor::Passkey, SecondFactor::RecoveryCode]);
                pending.reveal().to_owned()
            }
            SignIn::Done(_) => panic!("no second factor was asked for"),
        }
    }
}

fn visitor() -> Visitor {
    Visitor::from_address("192.0.2.1".parse().unwrap())
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn challenge(options: &Value) -> &str {
    options["challenge"].as_str().unwrap()
}

fn answer(id: &[u8], response: &Value) -> PasskeyAnswer {
    let text = json!({"id": encoded(id), "rawId": encoded(id), "type": "public-key", "response": response}).to_string();
    PasskeyAnswer::parse(&text).unwrap()
}

/// What the authenticator says to a request.
fn signed(key: &SoftKey, options: &Value, flags: u8, count: u32, handle: Option<Uuid>) -> PasskeyAnswer {
    let client_data = client_data("webauthn.get", challenge(options), ORIGIN);
    let data = key.data("example.com", flags, count);
    let signature = key.sign(&data, &client_data);
    let handle = handle.map(|handle| encoded(handle.as_bytes()));
    let response = json!({
        "clientDataJSON": encoded(&client_data), "authenticatorData": encoded(&data),
        "signature": encoded(&signature), "userHandle": handle,
    });
    answer(&key.id, &response)
}

#[tokio::test]
async fn a_passkey_signs_in_alone() {
    let (bench, key) = (Bench::new().await, SoftKey::generate());
    assert_eq!(bench.add(&key).await, 10);
    let request = bench.accounts.start_passkey_sign_in(&visitor()).await.unwrap();
    assert_eq!(request.options["allowCredentials"], json!([]));
    let answer = signed(&key, &request.options, 0x05, 1, Some(bench.user));
    let finish = || bench.accounts.finish_passkey_sign_in(request.pending.reveal(), &answer, &THERE);
    static THERE: std::sync::LazyLock<Visitor> = std::sync::LazyLock::new(visitor);
    let signed_in = finish().await.unwrap();
    assert_eq!((signed_in.user, signed_in.amr), (bench.user, vec!["pop", "mfa"]));
    assert!(matches!(finish().await, Err(AccountsError::Expired)), "a challenge is good once");
}

#[tokio::test]
async fn attack_a_passkey_that_is_copied_replayed_unverified_or_anothers_is_refused() {
    let (bench, key) = (Bench::new().await, SoftKey::generate());
    bench.add(&key).await;
    let check = async |key: &SoftKey, flags: u8, count: u32, handle: Option<Uuid>, is_good: bool, why: &str| {
        let request = bench.accounts.start_passkey_sign_in(&visitor()).await.unwrap();
        let answer = signed(key, &request.options, flags, count, handle);
        let result = bench.accounts.finish_passkey_sign_in(request.pending.reveal(), &answer, &visitor()).await;
        assert_eq!(result.is_ok(), is_good, "{why}: {result:?}");
    };
    let owner = Some(bench.user);
    check(&key, 0x05, 5, owner, true, "the owner").await;
    check(&key, 0x05, 5, owner, false, "its count did not grow").await;
    check(&key, 0x05, 4, owner, false, "its count went back").await;
    check(&key, 0x01, 6, owner, false, "nobody was verified").await;
    check(&key, 0x05, 6, Some(Uuid::now_v7()), false, "the handle is another's").await;
    check(&key, 0x05, 6, None, false, "it names no account").await;
    check(&SoftKey::generate(), 0x05, 6, owner, false, "it is not known").await;
    check(&key, 0x05, 6, owner, true, "the owner again").await;
    // The answer to one challenge is none to another.
    let requests = [
        bench.accounts.start_passkey_sign_in(&visitor()).await.unwrap(),
        bench.accounts.start_passkey_sign_in(&visitor()).await.unwrap(),
    ];
    let answer = signed(&key, &requests[0].options, 0x05, 7, owner);
    let result = bench.accounts.finish_passkey_sign_in(requests[1].pending.reveal(), &answer, &visitor()).await;
    assert!(matches!(result, Err(AccountsError::Passkey(_))), "{result:?}");
}

#[tokio::test]
async fn a_passkey_is_a_second_factor() {
    let (bench, key) = (Bench::new().await, SoftKey::generate());
    bench.add(&key).await;
    let pending = bench.pending().await;
    let request = bench.accounts.start_passkey_second_factor(&pending).await.unwrap();
    assert_eq!(request.options["allowCredentials"][0]["id"], encoded(&key.id));
    // Present is enough: the password was the first factor.
    let answer = signed(&key, &request.options, 0x01, 1, None);
    let there = visitor();
    let finish = || bench.accounts.finish_passkey_second_factor(&pending, request.pending.reveal(), &answer, &there);
    assert_eq!(finish().await.unwrap().amr, ["pwd", "pop", "mfa"]);
    assert!(matches!(finish().await, Err(AccountsError::Expired)));
}

#[tokio::test]
async fn the_last_way_to_sign_in_stays() {
    let (bench, key) = (Bench::new().await, SoftKey::generate());
    let proof = Proof::Password(PASSWORD);
    let none = bench.accounts.remove_password(bench.user, proof, &visitor()).await;
    assert!(matches!(none, Err(AccountsError::Conflict(_))));
    bench.add(&key).await;
    bench.accounts.remove_password(bench.user, proof, &visitor()).await.unwrap();
    assert!(bench.accounts.sign_in(EMAIL, PASSWORD, &visitor()).await.is_err());
    let request = bench.accounts.start_passkey_sign_in(&visitor()).await.unwrap();
    let answer = signed(&key, &request.options, 0x05, 1, Some(bench.user));
    let signed_in = bench.accounts.finish_passkey_sign_in(request.pending.reveal(), &answer, &visitor()).await.unwrap();
    let session = bench.accounts.create_session(&signed_in, &visitor(), None).await.unwrap().session;
    let id: String = key.id.iter().map(|byte| format!("{byte:02x}")).collect();
    let last = bench.accounts.remove_passkey(bench.user, &id, Proof::Recent(&session), &visitor()).await;
    assert!(matches!(last, Err(AccountsError::Conflict(_))));
}
