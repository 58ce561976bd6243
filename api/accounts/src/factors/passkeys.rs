//! Passkeys: added to an account, as a second factor, and as the only one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mooring_store::{NewOneTime, OneTimePurpose, Passkey, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::webauthn::{self, EDDSA, ES256, Expected, PasskeyError, RS256};
use crate::accounts::{Accounts, Proof};
use crate::error::{AccountsError, Result};
use crate::sign_in::{SignedIn, unhex};
use crate::sign_up::check_name;
use crate::throttle::Payer;
use crate::token::{OpaqueToken, hash_of_presented};
use crate::visitor::Visitor;

/// A credential that the browser shall make.
#[derive(Debug)]
pub struct PasskeyCreation {
    /// Goes with the answer.
    pub pending: OpaqueToken,
    /// For `navigator.credentials.create`: PublicKeyCredentialCreationOptionsJSON (Web Authentication, 5.4).
    pub options: Value,
}

/// A signature that the browser shall get.
#[derive(Debug)]
pub struct PasskeyRequest {
    /// Goes with the answer.
    pub pending: OpaqueToken,
    /// For `navigator.credentials.get`: PublicKeyCredentialRequestOptionsJSON (5.5).
    pub options: Value,
}

/// What the browser answers: the JSON form of a PublicKeyCredential (5.1), bytes in base64url.
#[derive(Clone, Debug)]
pub struct PasskeyAnswer {
    id: Vec<u8>,
    client_data: Vec<u8>,
    attestation_object: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerJson {
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: ResponseJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseJson {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(default)]
    attestation_object: String,
    #[serde(default)]
    authenticator_data: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

/// The most bytes of an answer: an attestation with certificates has a few thousand.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Passkeys of one account.
const PASSKEYS_MAX: u64 = 20;

impl PasskeyAnswer {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// What can't be read.
    pub fn parse(text: &str) -> Result<Self, PasskeyError> {
        if text.len() > ANSWER_BYTES_MAX {
            return Err(PasskeyError("the answer is too long"));
        }
        let json: AnswerJson = serde_json::from_str(text).map_err(|_| PasskeyError("the answer can't be read"))?;
        if json.kind != "public-key" {
            return Err(PasskeyError("it is no public key credential"));
        }
        let bytes = |text: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
            decoded.map_err(|_| PasskeyError("the answer is no base64url"))
        };
        let ResponseJson { client_data, attestation_object, authenticator_data, signature, user_handle } =
            json.response;
        Ok(Self {
            id: bytes(&json.raw_id)?,
            client_data: bytes(&client_data)?,
            attestation_object: bytes(&attestation_object)?,
            authenticator_data: bytes(&authenticator_data)?,
            signature: bytes(&signature)?,
            user_handle: user_handle.filter(|handle| !handle.is_empty()).map(|handle| bytes(&handle)).transpose()?,
        })
    }
}

impl Accounts {
    /// Begins to add a passkey to an account.
    ///
    /// # Errors
    /// As [`Self::change_password`].
    pub async fn start_passkey(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<PasskeyCreation> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        let (pending, challenge) = self.begin_challenge(Some(user)).await?;
        let known: Vec<Value> = self.store().passkeys(user).await?.iter().map(descriptor).collect();
        let login = account.email.as_deref().unwrap_or(&account.name);
        let display_name = if account.display_name.is_empty() { login } else { &account.display_name };
        let kinds = [ES256, EDDSA, RS256].map(|alg| json!({"type": "public-key", "alg": alg}));
        let options = json!({
            "rp": {"id": self.config().relying_party(), "name": self.config().service},
            // The user's id says nothing about them (14.6.1).
            "user": {"id": URL_SAFE_NO_PAD.encode(user.as_bytes()), "name": login, "displayName": display_name},
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "pubKeyCredParams": kinds,
            "timeout": self.timeout_ms(),
            "excludeCredentials": known,
            "authenticatorSelection": {"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
            "attestation": "none",
        });
        Ok(PasskeyCreation { pending, options })
    }

    /// Adds the passkey that the browser made. Gives recovery codes, shown this once, when there were none.
    ///
    /// # Errors
    /// [`AccountsError::Passkey`], [`AccountsError::Expired`], [`AccountsError::Name`], [`AccountsError::Conflict`] when it is known or there
    /// are too many.
    pub async fn finish_passkey(
        &self,
        user: Uuid,
        pending: &str,
        name: &str,
        answer: &PasskeyAnswer,
    ) -> Result<Option<Vec<String>>> {
        let name = check_name("a passkey's name", name, 1)?;
        let account = self.account_of(user).await?;
        let challenge = self.take_challenge(pending, Some(user)).await?;
        let origin = self.config().origin();
        let expected = self.expected("webauthn.create", &challenge, &origin, true);
        let created = webauthn::check_creation(&expected, &answer.client_data, &answer.attestation_object)?;
        let passkey = Passkey {
            id: created.id,
            user,
            name,
            public_key: created.public_key,
            sign_count: u64::from(created.sign_count),
            backed_up: created.backed_up,
            created_at: self.now(),
            used_at: None,
        };
        self.store().add_passkey(&passkey, PASSKEYS_MAX).await.map_err(|error| match error {
            StoreError::Conflict { .. } => AccountsError::Conflict("this passkey is known, or there are too many"),
            other => other.into(),
        })?;
        self.factor_added(&account, "factor-passkey").await?;
        self.first_recovery_codes(user).await
    }

    /// Takes a passkey away, by its id in hexadecimal.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::NotFound`], [`AccountsError::Conflict`] when it is the last way to sign in.
    pub async fn remove_passkey(&self, user: Uuid, id: &str, proof: Proof<'_>, visitor: &Visitor) -> Result<()> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        let id = unhex(id).ok_or(AccountsError::NotFound("passkey"))?;
        let held = self.store().passkeys(user).await?;
        if !held.iter().any(|passkey| passkey.id == id) {
            return Err(AccountsError::NotFound("passkey"));
        }
        if held.len() == 1 && account.password.is_none() {
            return Err(AccountsError::Conflict("it is the last way to sign in: set a password first"));
        }
        self.store().remove_passkey(user, &id).await?;
        if held.len() == 1 && account.totp.is_none() {
            self.store().replace_recovery_codes(user, &[]).await?;
        }
        self.factor_removed(&account, "factor-passkey").await
    }

    /// Takes the password away: from then on one signs in with a passkey alone.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::Conflict`] without a passkey.
    pub async fn remove_password(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<()> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        if self.store().passkeys(user).await?.is_empty() {
            return Err(AccountsError::Conflict("it is the only way to sign in: add a passkey first"));
        }
        self.store().set_password(user, None, self.now()).await?;
        self.audit_plain(user, "account.password.remove").await
    }

    /// Begins to sign in with a passkey alone; which account it is, the passkey says.
    ///
    /// # Errors
    /// [`AccountsError::TooManyTries`].
    pub async fn start_passkey_sign_in(&self, visitor: &Visitor) -> Result<PasskeyRequest> {
        self.inner.throttle.check(&[Payer::address(visitor.address)], self.now())?;
        let (pending, challenge) = self.begin_challenge(None).await?;
        Ok(PasskeyRequest { pending, options: self.request_options(&challenge, &[], "required") })
    }

    /// Signs in with a passkey alone.
    ///
    /// # Errors
    /// [`AccountsError::Passkey`], [`AccountsError::WrongCredentials`] for one that is not known, [`AccountsError::Expired`],
    /// [`AccountsError::TooManyTries`].
    pub async fn finish_passkey_sign_in(
        &self,
        pending: &str,
        answer: &PasskeyAnswer,
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        let payers = [Payer::address(visitor.address)];
        self.inner.throttle.charge(&payers, self.now())?;
        let challenge = self.take_challenge(pending, None).await?;
        let passkey = self.store().passkey(&answer.id).await?.ok_or(AccountsError::WrongCredentials)?;
        // 7.2, 6: the handle, which a passkey that names its account gives, is that of the credential's owner.
        if answer.user_handle.as_deref() != Some(passkey.user.as_bytes()) {
            return Err(AccountsError::WrongCredentials);
        }
        self.check_assertion(&challenge, &passkey, answer, true).await?;
        self.inner.throttle.forgive(&payers);
        let account = self.account_of(passkey.user).await.map_err(|_| AccountsError::WrongCredentials)?;
        Ok(self.signed_in(&account, &["pop", "mfa"]))
    }

    /// Begins the second factor of a sign-in by a passkey.
    ///
    /// # Errors
    /// [`AccountsError::Expired`], [`AccountsError::NotFound`] when the account has none.
    pub async fn start_passkey_second_factor(&self, pending_sign_in: &str) -> Result<PasskeyRequest> {
        let hash = hash_of_presented(pending_sign_in).ok_or(AccountsError::Expired)?;
        let begun = self.store().one_time(OneTimePurpose::SecondFactor, &hash, self.now()).await?;
        let user = begun.and_then(|begun| begun.user).ok_or(AccountsError::Expired)?;
        let passkeys = self.store().passkeys(user).await?;
        if passkeys.is_empty() {
            return Err(AccountsError::NotFound("passkey"));
        }
        let (pending, challenge) = self.begin_challenge(Some(user)).await?;
        Ok(PasskeyRequest { pending, options: self.request_options(&challenge, &passkeys, "preferred") })
    }

    /// Finishes a sign-in with a passkey as its second factor.
    ///
    /// # Errors
    /// As [`Self::finish_passkey_sign_in`].
    pub async fn finish_passkey_second_factor(
        &self,
        pending_sign_in: &str,
        pending: &str,
        answer: &PasskeyAnswer,
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        let (begun, account) = self.try_second_factor(pending_sign_in, visitor).await?;
        let challenge = self.take_challenge(pending, Some(account.user)).await?;
        let passkey = self.store().passkey(&answer.id).await?.filter(|passkey| passkey.user == account.user);
        let passkey = passkey.ok_or(AccountsError::WrongCredentials)?;
        self.check_assertion(&challenge, &passkey, answer, false).await?;
        self.finish_second_factor(&begun, account, &["pwd", "pop", "mfa"], visitor).await
    }

    async fn check_assertion(
        &self,
        challenge: &[u8; 32],
        passkey: &Passkey,
        answer: &PasskeyAnswer,
        user_verified: bool,
    ) -> Result<()> {
        let origin = self.config().origin();
        let expected = self.expected("webauthn.get", challenge, &origin, user_verified);
        let asserted = webauthn::check_assertion(
            &expected,
            &answer.client_data,
            &answer.authenticator_data,
            &answer.signature,
            &passkey.public_key,
            passkey.sign_count,
        )?;
        let counts = (passkey.sign_count, u64::from(asserted.sign_count));
        if !self.store().use_passkey(&passkey.id, counts, asserted.backed_up, self.now()).await? {
            return Err(PasskeyError("it was used twice at the same moment").into());
        }
        Ok(())
    }

    fn expected<'a>(
        &'a self,
        kind: &'static str,
        challenge: &'a [u8; 32],
        origin: &'a str,
        user_verified: bool,
    ) -> Expected<'a> {
        Expected { kind, challenge, origin, relying_party: self.config().relying_party(), user_verified }
    }

    fn request_options(&self, challenge: &[u8; 32], allowed: &[Passkey], user_verification: &str) -> Value {
        json!({
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "timeout": self.timeout_ms(),
            "rpId": self.config().relying_party(),
            "allowCredentials": allowed.iter().map(descriptor).collect::<Vec<_>>(),
            "userVerification": user_verification,
        })
    }

    fn timeout_ms(&self) -> u64 {
        self.config().pending.as_secs() * 1000
    }

    /// A challenge that is good once: it follows from the token, so that it need not be stored.
    async fn begin_challenge(&self, user: Option<Uuid>) -> Result<(OpaqueToken, [u8; 32])> {
        let (token, now) = (OpaqueToken::generate()?, self.now());
        let begun = NewOneTime {
            hash: token.hash(),
            link_hash: None,
            purpose: OneTimePurpose::Passkey,
            user,
            code_hash: None,
            data: "{}".to_owned(),
            expires_at: now + self.config().pending,
        };
        self.store().create_one_time(&begun, now).await?;
        let challenge = self.challenge(&begun.hash);
        Ok((token, challenge))
    }

    async fn take_challenge(&self, pending: &str, user: Option<Uuid>) -> Result<[u8; 32]> {
        let hash = hash_of_presented(pending).ok_or(AccountsError::Expired)?;
        let taken = self.store().take_one_time(OneTimePurpose::Passkey, &hash, self.now()).await?;
        let taken = taken.filter(|taken| taken.user == user).ok_or(AccountsError::Expired)?;
        Ok(self.challenge(&taken.hash))
    }

    fn challenge(&self, hash: &[u8; 32]) -> [u8; 32] {
        self.config().key.mac(&[b"passkey", hash])
    }
}

fn descriptor(passkey: &Passkey) -> Value {
    json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(&passkey.id)})
}
