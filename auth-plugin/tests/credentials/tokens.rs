//! API tokens as passwords.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};

use mooring_auth::token::Finding;
use mooring_auth::{
    AuthError, FoundToken, LiveTokens, Rights, Secret, SecretKind, TokenMethod, TokenSource, sign_in_credential,
    token_credential,
};
use mooring_core::Identity;
use mooring_protocol::ReasonCode;
use uuid::Uuid;

use crate::door::{Door, rights};

const ANA: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0001);
const TOKEN: Uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0002);
const SCOPES: [&str; 3] = ["devices:read", "devices:write", "commands:send"];

/// What becomes of a look-up.
#[derive(Clone)]
enum Database {
    /// It has this token, and no other.
    Has(String, FoundToken),
    Away,
    Silent,
}

impl TokenSource for Database {
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a> {
        match self {
            Self::Has(known, token) => Box::pin(ready(Ok((presented == *known).then(|| token.clone())))),
            Self::Away => Box::pin(ready(Err(AuthError::TokensAway("connection refused".to_owned())))),
            Self::Silent => Box::pin(pending()),
        }
    }
}

/// A door before a database that the test changes, and a token of Ana's.
struct Case {
    door: Door,
    secret: Secret,
    database: Arc<Mutex<Database>>,
    rights: Arc<Rights>,
    live: Arc<LiveTokens>,
}

struct Shared(Arc<Mutex<Database>>);

impl TokenSource for Shared {
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a> {
        let now = self.0.lock().unwrap().clone();
        Box::pin(async move { now.find(presented).await })
    }
}

impl Case {
    fn new(change: impl FnOnce(&mut FoundToken)) -> Self {
        let secret = Secret::generate(SecretKind::ApiToken).unwrap();
        let scopes = SCOPES.map(str::to_owned).to_vec();
        let mut token =
            FoundToken { credential: token_credential(TOKEN), user: Some(ANA), scopes, expires_unix_ms: None };
        change(&mut token);
        let database = Arc::new(Mutex::new(Database::Has(secret.reveal().to_owned(), token)));
        let (rights, live) = (rights(), Arc::new(LiveTokens::new()));
        let source = Box::new(Shared(Arc::clone(&database)));
        let method = TokenMethod::new(source, Arc::clone(&rights), Arc::clone(&live), 50);
        Self { door: Door::new(&rights, method), secret, database, rights, live }
    }

    fn set(&self, database: Database) {
        *self.database.lock().unwrap() = database;
    }

    async fn is_refused(&self, reason: ReasonCode, says: &str) {
        self.door.is_refused(Some("ana"), self.secret.reveal().as_bytes(), reason, says).await;
    }
}

#[tokio::test]
async fn a_token_lets_in_as_its_users_own_client_whatever_the_user_name() {
    let case = Case::new(|_| {});
    for username in [None, Some("ana"), Some("bert"), Some("#")] {
        let principal = case.door.knock(username, case.secret.reveal().as_bytes()).await.unwrap();
        assert_eq!(principal.identity, Identity::new(&format!("spiffe://mooring.local/client/{ANA}")));
        assert_eq!(principal.certificate_serial, Some(token_credential(TOKEN)));
        assert!(principal.presence_topic.is_none());
    }
}

#[tokio::test]
async fn attack_wrong_expired_or_revoked_token_or_one_of_a_disabled_user() {
    // The database gives good tokens alone: all of these are none that it knows.
    let case = Case::new(|_| {});
    let other = Secret::generate(SecretKind::ApiToken).unwrap();
    let short = &case.secret.reveal()[..46];
    for text in [other.reveal(), short, "mtk_", "mtk_%", &format!("{} ", case.secret.reveal())] {
        case.door.is_refused(None, text.as_bytes(), ReasonCode::BadUserNameOrPassword, "the token is unknown").await;
    }
}

#[tokio::test]
async fn attack_secret_of_another_kind_as_token() {
    let case = Case::new(|_| {});
    let enrolment = Secret::generate(SecretKind::Enrolment).unwrap();
    let password = enrolment.reveal().as_bytes();
    case.door.is_refused(None, password, ReasonCode::BadUserNameOrPassword, "not known").await;
}

#[tokio::test]
async fn attack_token_that_may_do_less_than_its_user() {
    let case = Case::new(|token| token.scopes.retain(|scope| scope != "commands:send"));
    case.is_refused(ReasonCode::NotAuthorized, "lacks the scope commands:send").await;
    let case = Case::new(|token| token.scopes = vec!["commands:send".to_owned()]);
    case.is_refused(ReasonCode::NotAuthorized, "lacks the scope devices:read").await;
}

#[tokio::test]
async fn attack_operators_token_over_mqtt() {
    let case = Case::new(|token| (token.user, token.scopes) = (None, vec!["operator".to_owned()]));
    case.is_refused(ReasonCode::NotAuthorized, "stands for no person").await;
}

#[tokio::test]
async fn attack_token_of_a_blocked_user() {
    let case = Case::new(|_| {});
    case.rights.block(case.rights.person_identity(ANA).unwrap());
    case.is_refused(ReasonCode::NotAuthorized, "blocked").await;
}

#[tokio::test]
async fn attack_identity_of_the_user_bound_to_somebody_else() {
    let case = Case::new(|_| {});
    case.rights.bind(case.rights.person_identity(ANA).unwrap(), Uuid::from_u128(7));
    case.is_refused(ReasonCode::NotAuthorized, "another's").await;
}

#[tokio::test]
async fn database_away_or_silent_refuses() {
    let case = Case::new(|_| {});
    case.set(Database::Away);
    case.is_refused(ReasonCode::ServerUnavailable, "connection refused").await;
    case.set(Database::Silent);
    case.is_refused(ReasonCode::ServerUnavailable, "took too long").await;
}

#[tokio::test]
async fn a_token_that_let_somebody_in_is_named_when_it_ends_and_once() {
    let case = Case::new(|token| token.expires_unix_ms = Some(2_000));
    for _ in 0..2 {
        case.door.knock(None, case.secret.reveal().as_bytes()).await.unwrap();
    }
    assert!(case.live.take_expired(1_999).is_empty());
    assert_eq!(case.live.take_expired(2_000), [token_credential(TOKEN)]);
    assert!(case.live.take_expired(2_000).is_empty());
}

/// The form of an access token; who made it is for its source to find out.
const ACCESS_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl";

fn sign_in(expires_unix_ms: u64) -> FoundToken {
    let scopes = SCOPES.map(str::to_owned).to_vec();
    let credential = sign_in_credential(TOKEN);
    FoundToken { credential, user: Some(ANA), scopes, expires_unix_ms: Some(expires_unix_ms) }
}

#[tokio::test]
async fn an_access_token_lets_in_when_one_of_the_sources_knows_it() {
    let rights = rights();
    let nobody = Database::Has(String::new(), sign_in(0));
    let provider = Database::Has(ACCESS_TOKEN.to_owned(), sign_in(2_000));
    let sources: Vec<Box<dyn TokenSource>> = vec![Box::new(nobody), Box::new(provider)];
    let method = TokenMethod::new(Box::new(sources), Arc::clone(&rights), Arc::new(LiveTokens::new()), 50);
    let door = Door::new(&rights, method);
    let principal = door.knock(Some("ana"), ACCESS_TOKEN.as_bytes()).await.unwrap();
    assert_eq!(principal.certificate_serial, Some(sign_in_credential(TOKEN)));
    let forged = format!("{ACCESS_TOKEN}A");
    door.is_refused(Some("ana"), forged.as_bytes(), ReasonCode::BadUserNameOrPassword, "the token is unknown").await;
    let endless = format!("{ACCESS_TOKEN}{}", "A".repeat(10_000));
    door.is_refused(Some("ana"), endless.as_bytes(), ReasonCode::BadUserNameOrPassword, "the token is unknown").await;
    for no_token in ["eyJ", "eyJhbGciOiJFZERTQSJ9.e30", "a.b.c"] {
        door.is_refused(Some("ana"), no_token.as_bytes(), ReasonCode::BadUserNameOrPassword, "not known").await;
    }
}

#[test]
fn a_sign_in_that_got_a_newer_token_ends_with_the_newer() {
    let live = LiveTokens::new();
    live.note(&sign_in(2_000));
    live.note(&sign_in(3_000));
    live.note(&sign_in(1_000));
    assert!(live.take_expired(2_999).is_empty());
    assert_eq!(live.take_expired(3_000), [sign_in_credential(TOKEN)]);
}
