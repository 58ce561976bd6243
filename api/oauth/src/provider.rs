//! The provider: what everything here works with, and what the rest of the system asks.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mooring_certs::KeySecret;
use mooring_store::{OauthClient, OauthFamily, Store};
use ring::hmac;
use time::{Duration, OffsetDateTime};
use tokio::sync::{broadcast, watch};
use tokio::time::{MissedTickBehavior, interval};
use url::Url;
use uuid::Uuid;

use crate::budget::{Budgets, network};
use crate::dpop::{self, Proof, ProofError, Proofs, ProvenRequest};
use crate::ended::EndedFamilies;
use crate::error::{ErrorCode, OauthError, Result};
use crate::jwt::{self, AccessClaims, Confirmation, IdClaims, TokenError};
use crate::keys::{KeyRing, TokenKind};
use crate::scope;
use crate::secret::random;

/// How the provider works.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// By which URL everybody reaches the server: `https://host` or `https://host:port`, and no more.
    pub issuer: String,
    /// Where the signing keys are kept.
    pub keys_dir: PathBuf,
    /// Encrypts them.
    pub key_secret: Option<KeySecret>,
    /// How long a signing key signs.
    pub key_lifetime: Duration,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
    /// How long a refresh token lives that is not used.
    pub refresh_token_lifetime: Duration,
}

/// The OAuth 2.1 and OpenID Connect provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    config: ProviderConfig,
    store: Store,
    keys: KeyRing,
    ended: EndedFamilies,
    renewals: broadcast::Sender<Renewal>,
    /// Proofs of keys with requests for tokens, and with tokens: whoever fills the one does not shut the other.
    token_proofs: Proofs,
    api_proofs: Proofs,
    /// Seals what this process says to itself by way of a browser.
    seal_key: hmac::Key,
    /// Guesses at client secrets, of one address.
    client_failures: Budgets<IpAddr>,
    /// Guesses at user codes, of one person and of one address.
    user_code_tries: Budgets<Guesser>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Guesser {
    Person(Uuid),
    Address(IpAddr),
}

/// An access token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its own id.
    pub id: Uuid,
    /// The person who gave it; `None` when a client works for itself.
    pub user: Option<Uuid>,
    /// The client to which it was given.
    pub client_id: String,
    /// What it is for.
    pub scopes: Vec<String>,
    /// The family, with which it ends: see [`Provider::ended_families`].
    pub family: Uuid,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
    /// The thumbprint of the key that it is bound to: without a proof of that key it is no good ([`Provider::check_proof`]).
    pub jkt: Option<[u8; 32]>,
}

/// A client has a fresh access token, which is for as much as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The family.
    pub family: Uuid,
    /// When the fresh token ends.
    pub expires_at: OffsetDateTime,
}

/// An access token, and the ID token that goes with it.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) id_token: Option<String>,
}

/// How often the database is asked what has ended.
const LOOK_EVERY: StdDuration = StdDuration::from_millis(500);
const UPKEEP_EVERY: StdDuration = StdDuration::from_secs(3600);
const ID_TOKEN_LIFETIME: Duration = Duration::minutes(10);
/// Renewals that a slow listener may fall behind.
const RENEWALS_LAG_MAX: usize = 1024;
const MINUTE: StdDuration = StdDuration::from_secs(60);

impl Provider {
    /// Opens the signing keys, or makes the first one.
    ///
    /// # Errors
    /// [`OauthError::Setting`] for an issuer that is no origin, [`OauthError::Key`] for a key file that can't be used.
    pub fn open(config: ProviderConfig, store: Store) -> Result<Self> {
        check_issuer(&config.issuer)?;
        let now = OffsetDateTime::now_utc();
        let keys = KeyRing::open(&config.keys_dir, config.key_secret.clone(), config.key_lifetime, now)?;
        let ended = EndedFamilies::new(config.access_token_lifetime);
        let client_failures = Budgets::new(30, MINUTE);
        let user_code_tries = Budgets::new(10, MINUTE * 10);
        let renewals = broadcast::channel(RENEWALS_LAG_MAX).0;
        let token_proofs = Proofs::new()?;
        // A client may keep one nonce for all of an origin.
        let api_proofs = token_proofs.apart();
        Ok(Self(Arc::new(Inner {
            config,
            store,
            keys,
            ended,
            renewals,
            token_proofs,
            api_proofs,
            seal_key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?),
            client_failures,
            user_code_tries,
        })))
    }

    /// Asks the database what has ended, sweeps it and follows keys by new ones, until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut look, mut upkeep) = (interval(LOOK_EVERY), interval(UPKEEP_EVERY));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    if let Err(error) = self.look().await {
                        tracing::debug!(%error, "what has ended can't be asked now");
                    }
                }
                _ = upkeep.tick() => self.upkeep().await,
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Asks the database once what has ended. Before the first success no access token is good.
    ///
    /// # Errors
    /// [`OauthError::Store`].
    pub async fn look(&self) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        let ended = self.0.store.oauth_families_ended_since(self.0.ended.since(now)).await?;
        self.0.ended.extend(&ended, now);
        Ok(())
    }

    async fn upkeep(&self) {
        let now = OffsetDateTime::now_utc();
        self.0.token_proofs.sweep();
        self.0.api_proofs.sweep();
        if let Err(error) = self.0.keys.rotate(now) {
            tracing::error!(%error, "the signing key can't be followed by a new one");
        }
        if let Err(error) = self.0.store.sweep_oauth(now).await {
            tracing::debug!(%error, "old codes and tokens are swept later");
        }
    }

    /// Whether a text has the form of an access token: three parts. An opaque token has no dots.
    #[must_use]
    pub fn is_access_token(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// The access token, when it is good for this server now. Reads no database. One with a `jkt` is good together with a proof alone.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn access_token(&self, text: &str) -> Result<AccessToken, TokenError> {
        let claims: AccessClaims = jwt::verify(&self.0.keys, TokenKind::Access, text)?;
        if claims.iss != self.0.config.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if claims.aud != self.0.config.issuer {
            return Err(TokenError::WrongAudience);
        }
        let expires_at = OffsetDateTime::from_unix_timestamp(claims.exp).map_err(|_| TokenError::Foreign)?;
        if expires_at <= OffsetDateTime::now_utc() {
            return Err(TokenError::Expired);
        }
        match self.0.ended.contains(claims.sid) {
            Some(false) => {}
            Some(true) => return Err(TokenError::Revoked),
            None => return Err(TokenError::Unknown),
        }
        // A client that works for itself is its own subject. One whose id is that of a person would be so, too, and have no person's devices.
        let user = if claims.sub == claims.client_id { None } else { Some(parse_subject(&claims.sub)?) };
        let jkt = claims.cnf.map(|cnf| dpop::decode(&cnf.jkt).ok_or(TokenError::Foreign)).transpose()?;
        Ok(AccessToken {
            jkt,
            id: claims.jti,
            user,
            client_id: claims.client_id,
            scopes: claims.scope.split_ascii_whitespace().map(str::to_owned).collect(),
            family: claims.sid,
            expires_at,
        })
    }

    /// Checks that a request to this server shows the key that its access token is bound to, and uses its proof up (RFC 9449, 7.1).
    ///
    /// # Errors
    /// What is wrong with the proof.
    pub fn check_proof(
        &self,
        headers: &HeaderMap,
        request: ProvenRequest<'_>,
        token: &str,
        jkt: &[u8; 32],
    ) -> Result<(), ProofError> {
        let address = format!("{}{}", self.0.config.issuer, request.path);
        let proof = self.0.api_proofs.read(headers, request.method, &address, OffsetDateTime::now_utc())?;
        let proof = proof.ok_or(ProofError::Missing)?;
        proof.require_token(token, jkt)?;
        self.0.api_proofs.use_up(&proof)
    }

    /// The proof of a key that a client sends with a POST for tokens; it has to carry our nonce.
    pub(crate) fn proof_for_tokens(
        &self,
        headers: &HeaderMap,
        path: &str,
        client: &OauthClient,
    ) -> Result<Option<Proof>> {
        let address = format!("{}{path}", self.0.config.issuer);
        match self.0.token_proofs.read(headers, &Method::POST, &address, OffsetDateTime::now_utc())? {
            Some(proof) => proof.require_nonce().map(|()| Some(proof)).map_err(Into::into),
            None if client.requires_dpop => Err(ProofError::Missing.into()),
            None => Ok(None),
        }
    }

    /// What goes with a text that this process gives a browser to bring back. A restart forgets it.
    pub(crate) fn seal(&self, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0.seal_key, text.as_bytes()))
    }

    /// Proofs for tokens: their nonces, and which were used.
    pub(crate) fn token_proofs(&self) -> &Proofs {
        &self.0.token_proofs
    }

    /// Tells each family that ends before its time, within half a second of its end: what was opened with its tokens ends then. A receiver that lags
    /// asks [`Provider::has_ended`] about each that it holds.
    #[must_use]
    pub fn ended_families(&self) -> broadcast::Receiver<Uuid> {
        self.0.ended.listen()
    }

    /// Tells each renewal: what was opened with a token may last as long as the fresh one.
    #[must_use]
    pub fn renewals(&self) -> broadcast::Receiver<Renewal> {
        self.0.renewals.subscribe()
    }

    pub(crate) fn note_renewal(&self, family: Uuid) {
        let expires_at = OffsetDateTime::now_utc() + self.0.config.access_token_lifetime;
        // Nobody may be listening.
        let _ = self.0.renewals.send(Renewal { family, expires_at });
    }

    /// Whether a family has ended; true also when that can't be known.
    #[must_use]
    pub fn has_ended(&self, family: Uuid) -> bool {
        self.0.ended.contains(family).unwrap_or(true)
    }

    /// Ends all that a person has let clients have, at once, but for what came of the browser session that is kept: after a change of password, at
    /// a sign-out everywhere, or before an account is deleted.
    ///
    /// # Errors
    /// [`OauthError::Store`].
    pub async fn end_families_of_user(&self, user: Uuid, kept: Option<Uuid>, reason: &str) -> Result<usize> {
        let now = OffsetDateTime::now_utc();
        let ended = self.0.store.end_oauth_families_of_user(user, kept, reason, now).await?;
        self.0.ended.add(&ended, now);
        Ok(ended.len())
    }

    /// Takes back what a person has let one client have, at once. Gives how many sign-ins ended; `None` when the person had let it have nothing.
    ///
    /// # Errors
    /// [`OauthError::Store`].
    pub async fn withdraw_consent(&self, user: Uuid, client: &str) -> Result<Option<usize>> {
        let now = OffsetDateTime::now_utc();
        let Some(ended) = self.0.store.withdraw_oauth_consent(user, client, now).await? else { return Ok(None) };
        self.0.ended.add(&ended, now);
        let (actor, subject) = (format!("user:{user}"), format!("client:{client}"));
        let detail = serde_json::json!({"sign_ins_ended": ended.len()});
        self.0.store.append_audit(&actor, "oauth.consent.withdraw", &subject, &detail, now).await?;
        Ok(Some(ended.len()))
    }

    /// Ends what was to last as long as this browser session.
    ///
    /// # Errors
    /// [`OauthError::Store`].
    pub async fn end_families_of_browser(&self, session: Uuid) -> Result<usize> {
        let now = OffsetDateTime::now_utc();
        let ended = self.0.store.end_oauth_families_of_browser(session, now).await?;
        self.0.ended.add(&ended, now);
        Ok(ended.len())
    }

    pub(crate) async fn end_family(&self, family: Uuid, reason: &str) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        self.0.store.end_oauth_family(family, reason, now).await?;
        self.0.ended.add(&[family], now);
        Ok(())
    }

    /// Remembers at once that a family has ended in the database.
    pub(crate) fn note_end(&self, family: Uuid) {
        self.0.ended.add(&[family], OffsetDateTime::now_utc());
    }

    pub(crate) fn config(&self) -> &ProviderConfig {
        &self.0.config
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.0.config.issuer
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The public keys, as RFC 7517 writes them.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.0.keys.jwks()
    }

    pub(crate) async fn client(&self, id: &str) -> Result<OauthClient> {
        let unknown = || OauthError::refused(ErrorCode::InvalidClient, "There is no such client.");
        self.0.store.oauth_client(id).await?.ok_or_else(unknown)
    }

    /// Signs the tokens of a family. `scopes` may be fewer than the family's; `jkt` is the key that the access token is bound to.
    pub(crate) fn issue(
        &self,
        family: &OauthFamily,
        scopes: &[String],
        nonce: Option<String>,
        jkt: Option<&[u8; 32]>,
    ) -> Result<Issued> {
        let now = OffsetDateTime::now_utc();
        let key = self.0.keys.signer(now)?;
        let signed_in_at = family.signed_in.as_ref().map(|signed_in| signed_in.at.unix_timestamp());
        let sub = family.user.map_or_else(|| family.client.clone(), |user| user.to_string());
        let access = AccessClaims {
            iss: self.0.config.issuer.clone(),
            sub: sub.clone(),
            aud: self.0.config.issuer.clone(),
            exp: (now + self.0.config.access_token_lifetime).unix_timestamp(),
            iat: now.unix_timestamp(),
            jti: Uuid::new_v4(),
            client_id: family.client.clone(),
            scope: scopes.join(" "),
            sid: family.id,
            auth_time: signed_in_at,
            cnf: jkt.map(|jkt| Confirmation { jkt: dpop::encode(jkt) }),
        };
        let access_token = jwt::sign(&key, TokenKind::Access, &access)?;
        let id_token = match (&family.signed_in, scope::contains(scopes, scope::OPENID)) {
            (Some(signed_in), true) => Some(IdClaims {
                iss: access.iss,
                sub,
                aud: family.client.clone(),
                exp: (now + ID_TOKEN_LIFETIME).unix_timestamp(),
                iat: access.iat,
                auth_time: signed_in.at.unix_timestamp(),
                nonce,
                amr: signed_in.amr.clone(),
                sid: family.id,
                at_hash: at_hash(&access_token),
            }),
            _ => None,
        };
        let id_token = id_token.map(|claims| jwt::sign(&key, TokenKind::Id, &claims)).transpose()?;
        Ok(Issued { access_token, id_token })
    }

    /// The claims of an ID token that this provider made, whether or not its time is over: as a hint of who signs out.
    pub(crate) fn id_token_hint(&self, text: &str) -> Option<IdClaims> {
        let claims: IdClaims = jwt::verify(&self.0.keys, TokenKind::Id, text).ok()?;
        (claims.iss == self.0.config.issuer).then_some(claims)
    }

    /// Counts a failed proof of a client; an error when the address has none left.
    pub(crate) fn count_client_failure(&self, address: IpAddr) -> Result<()> {
        if self.0.client_failures.take(network(address), Instant::now()) { Ok(()) } else { Err(too_many()) }
    }

    /// Counts a typed user code.
    pub(crate) fn count_user_code(&self, user: Uuid, address: IpAddr) -> Result<()> {
        let now = Instant::now();
        let has_left = self.0.user_code_tries.take(Guesser::Person(user), now)
            && self.0.user_code_tries.take(Guesser::Address(network(address)), now);
        if has_left { Ok(()) } else { Err(too_many()) }
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.0.config.issuer).finish_non_exhaustive()
    }
}

/// Waits until `stop` turns true, or nobody can turn it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn too_many() -> OauthError {
    OauthError::refused(ErrorCode::TooManyRequests, "Too many attempts: wait some minutes, then try again.")
}

fn parse_subject(sub: &str) -> Result<Uuid, TokenError> {
    sub.parse().map_err(|_| TokenError::Foreign)
}

/// The left half of the hash that goes with the algorithm: SHA-512 for Ed25519 (OpenID Connect Core, 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA512, access_token.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref().iter().take(32).copied().collect::<Vec<_>>())
}

/// An issuer is an origin: paths are added to it, and answers are compared with it character by character.
fn check_issuer(issuer: &str) -> Result<()> {
    let refused = |reason: String| Err(OauthError::Setting { key: "oauth.issuer", reason });
    match Url::parse(issuer) {
        Ok(url) if url.scheme() == "https" && url.origin().ascii_serialization() == issuer => Ok(()),
        _ => refused(format!("expected https://host or https://host:port and no more, got {issuer:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::check_issuer;

    #[test]
    fn an_issuer_is_an_origin() {
        for fine in ["https://mooring.example", "https://localhost:8443", "https://[::1]:8443"] {
            assert!(check_issuer(fine).is_ok(), "{fine}");
        }
        for bad in
            ["", "mooring.example", "http://mooring.example", "https://mooring.example/", "https://a:443", "https://A"]
        {
            assert!(check_issuer(bad).is_err(), "{bad}");
        }
    }
}
