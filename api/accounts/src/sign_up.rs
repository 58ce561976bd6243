//! Signing up: an account is made only when its e-mail address is verified, by whoever chose its password.

use mooring_store::{NewAccount, NewOneTime, OneTime, OneTimePurpose, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::email::EmailAddress;
use crate::error::{AccountsError, Result};
use crate::mail::Kind;
use crate::password::Comparison;
use crate::sign_in::SignedIn;
use crate::texts::texts;
use crate::throttle::Payer;
use crate::token::{CODE_DIGITS, OpaqueToken, hash_of_presented, random_code, typed_digits};
use crate::visitor::Visitor;

/// What somebody fills in to sign up.
#[derive(Clone, Copy, Debug)]
pub struct SignUp<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// What they want to be called; may be empty.
    pub display_name: &'a str,
}

/// Shows that mail to the address reaches the one who signed up.
#[derive(Clone, Copy, Debug)]
pub enum Verification<'a> {
    /// The code of the mail, in the browser that signed up.
    Code {
        /// What [`Accounts::sign_up`] gave.
        pending: &'a str,
        /// The code.
        code: &'a str,
    },
    /// The link of the mail, opened in the browser that signed up.
    Link {
        /// The token of the link.
        token: &'a str,
        /// What [`Accounts::sign_up`] gave.
        pending: &'a str,
    },
    /// The link of the mail, opened elsewhere: without the password, whoever signs up with somebody else's address would have them confirm
    /// an account whose password the stranger knows.
    LinkAndPassword {
        /// The token of the link.
        token: &'a str,
        /// The password that was chosen.
        password: &'a str,
    },
}

/// What waits for its verification.
#[derive(Serialize, Deserialize)]
struct Pending {
    email: String,
    /// None when the address has an account: then nothing can finish this.
    password: Option<String>,
    display_name: String,
    language: String,
}

/// How often a code may be tried.
pub(crate) const CODE_TRIES_MAX: u64 = 5;
/// The most characters of what a person or a passkey is called.
const NAME_CHARS_MAX: usize = 64;

impl Accounts {
    /// Begins to sign up, and sends a mail. The answer is the same, after the same work, when the address has an account; then the mail says so.
    ///
    /// Keep what it gives in a cookie or a hidden field: it goes with the code.
    ///
    /// # Errors
    /// [`AccountsError::Email`], [`AccountsError::Password`], [`AccountsError::Name`], [`AccountsError::SignUpClosed`],
    /// [`AccountsError::TooManyTries`].
    pub async fn sign_up(&self, form: SignUp<'_>, visitor: &Visitor) -> Result<OpaqueToken> {
        if !self.config().sign_up {
            return Err(AccountsError::SignUpClosed);
        }
        let email = EmailAddress::parse(form.email)?;
        let display_name = check_name("a name", form.display_name, 0)?;
        let personal = [email.as_str(), email.local_part(), &display_name, &self.config().service];
        let normal = self.inner.policy.accept(form.password, &personal).await?;
        self.charge_mail(&email.folded(), visitor)?;
        let password = self.inner.hasher.hash(normal).await?;
        let known = self.store().account_by_login(email.as_str()).await?;
        let language = texts(&visitor.language).tag().to_owned();
        let pending = Pending {
            email: email.as_str().to_owned(),
            password: known.is_none().then_some(password),
            display_name,
            language: language.clone(),
        };
        let link = OpaqueToken::generate()?;
        let code = random_code()?;
        let token = self.begin_with_code(OneTimePurpose::SignUp, None, &link, &code, &pending).await?;
        let minutes = self.minutes();
        match known {
            Some(account) => {
                self.mail_to_account(&account, Kind::SignUpKnown, &[("link", &self.link("/account/sign-in"))]);
            }
            None => {
                let link = self.link(&format!("/account/verify?token={}", link.reveal()));
                let values = [("code", code.as_str()), ("link", &link), ("minutes", &minutes)];
                self.mail(email, &language, Kind::SignUp, &values);
            }
        }
        Ok(token)
    }

    /// Finishes signing up: makes the account, and signs in to it.
    ///
    /// # Errors
    /// [`AccountsError::WrongCode`], [`AccountsError::WrongCredentials`] for a wrong password beside a link, [`AccountsError::Expired`],
    /// [`AccountsError::TooManyTries`].
    pub async fn verify_email(&self, verification: Verification<'_>, visitor: &Visitor) -> Result<SignedIn> {
        self.inner.throttle.charge(&[Payer::address(visitor.address)], self.now())?;
        let begun = match verification {
            Verification::Code { pending, code } => self.try_code(OneTimePurpose::SignUp, pending, code).await?,
            Verification::Link { token, pending } => {
                let begun = self.by_link(token).await?;
                // The link of one sign-up in the browser of another is as good as the link alone.
                let same = hash_of_presented(pending).is_some_and(|hash| hash == begun.hash);
                if same { begun } else { return Err(AccountsError::WrongCredentials) }
            }
            Verification::LinkAndPassword { token, password } => {
                let begun = self.by_link(token).await?;
                let counted =
                    self.store().try_one_time(OneTimePurpose::SignUp, &begun.hash, CODE_TRIES_MAX, self.now());
                let counted = counted.await?.ok_or(AccountsError::Expired)?;
                match self.inner.hasher.compare(password, pending_of(&counted)?.password.as_deref()).await? {
                    Comparison::Wrong => return Err(AccountsError::WrongCredentials),
                    Comparison::Right | Comparison::RightButOutdated => begun,
                }
            }
        };
        let signed_in = self.finish_sign_up(&begun).await?;
        self.inner.throttle.forgive(&[Payer::address(visitor.address)]);
        Ok(signed_in)
    }

    async fn by_link(&self, token: &str) -> Result<OneTime> {
        let hash = hash_of_presented(token).ok_or(AccountsError::Expired)?;
        let begun = self.store().one_time_by_link(OneTimePurpose::SignUp, &hash, self.now()).await?;
        begun.ok_or(AccountsError::Expired)
    }

    async fn finish_sign_up(&self, begun: &OneTime) -> Result<SignedIn> {
        let now = self.now();
        let taken = self.store().take_one_time(OneTimePurpose::SignUp, &begun.hash, now).await?;
        let Pending { email, password, display_name, language } = pending_of(&taken.ok_or(AccountsError::Expired)?)?;
        // The address had an account when this was begun: its code was never told to anybody.
        let password = Some(password.ok_or(AccountsError::Expired)?);
        let id = Uuid::now_v7();
        let account = NewAccount { id, email, display_name, language, password, verified_at: Some(now) };
        self.store().create_account(&account, now).await.map_err(|error| match error {
            // Somebody else was faster with the same address, and has shown that it is theirs.
            StoreError::Conflict { .. } => AccountsError::Expired,
            other => other.into(),
        })?;
        self.audit_plain(id, "account.create").await?;
        let account = self.account_of(id).await?;
        Ok(self.signed_in(&account, &["pwd"]))
    }

    /// Begins something that a code from a mail finishes.
    pub(crate) async fn begin_with_code(
        &self,
        purpose: OneTimePurpose,
        user: Option<Uuid>,
        link: &OpaqueToken,
        code: &str,
        data: &impl Serialize,
    ) -> Result<OpaqueToken> {
        let (token, now) = (OpaqueToken::generate()?, self.now());
        let begun = NewOneTime {
            hash: token.hash(),
            link_hash: Some(link.hash()),
            purpose,
            user,
            code_hash: Some(self.config().key.mac(&[b"code", &token.hash(), code.as_bytes()])),
            data: serde_json::to_string(data).map_err(|_| AccountsError::Internal("JSON"))?,
            expires_at: now + self.config().mail_code,
        };
        self.store().create_one_time(&begun, now).await?;
        Ok(token)
    }

    /// Counts a try, and gives what the code is of when it is right.
    pub(crate) async fn try_code(&self, purpose: OneTimePurpose, pending: &str, code: &str) -> Result<OneTime> {
        let hash = hash_of_presented(pending).ok_or(AccountsError::Expired)?;
        let tried = self.store().try_one_time(purpose, &hash, CODE_TRIES_MAX, self.now()).await?;
        let begun = tried.ok_or(AccountsError::Expired)?;
        let digits = typed_digits(code, CODE_DIGITS as usize).ok_or(AccountsError::WrongCode)?;
        let parts: [&[u8]; 3] = [b"code", &hash, digits.as_bytes()];
        let is_right = begun.code_hash.is_some_and(|stored| self.config().key.mac_is(&parts, &stored));
        if is_right { Ok(begun) } else { Err(AccountsError::WrongCode) }
    }

    pub(crate) fn minutes(&self) -> String {
        (self.config().mail_code.as_secs() / 60).to_string()
    }
}

fn pending_of(begun: &OneTime) -> Result<Pending> {
    serde_json::from_str(&begun.data).map_err(|_| AccountsError::Internal("a sign-up on record can't be read"))
}

/// What a person or a passkey is called: printable, not too long, and not the other way round than it looks.
pub(crate) fn check_name(what: &'static str, name: &str, chars_min: usize) -> Result<String> {
    let name = name.trim();
    // Marks that turn the direction of what follows them (Unicode 16, 23.2) make a name look like another.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let count = name.chars().take(NAME_CHARS_MAX + 1).count();
    if count < chars_min || count > NAME_CHARS_MAX {
        return Err(AccountsError::Name { what, why: "it is empty, or longer than 64 characters" });
    }
    if name.chars().any(|c| c.is_control() || turns(c)) {
        return Err(AccountsError::Name { what, why: "it holds signs that can't be seen" });
    }
    Ok(name.to_owned())
}
