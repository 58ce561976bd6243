//! Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds, which is what every app understands.

use mooring_store::Account;
use ring::hmac;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::qr;
use crate::accounts::{Accounts, Proof};
use crate::error::{AccountsError, Result};
use crate::mail::Kind;
use crate::texts::texts;
use crate::throttle::Payer;
use crate::token::{random, typed_digits};
use crate::visitor::Visitor;

/// RFC 4226, 4: at least 128 bits, 160 recommended.
const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;
const STEP_S: i64 = 30;
/// RFC 6238, 5.2: one step to either side for clocks that differ.
const STEPS_AROUND: i64 = 1;

/// A secret for an authenticator app, shown once.
pub struct TotpOffer {
    /// The secret in base 32, in groups of four, to be typed.
    pub secret: Zeroizing<String>,
    /// The same as a link that an app on this device opens.
    pub uri: Zeroizing<String>,
    /// The same link as a QR code: an `<svg>` element of its own, which takes the colour of the text around it.
    pub qr_svg: Zeroizing<String>,
}

impl Accounts {
    /// Offers a new secret. It is in force once a code shows that the app has it ([`Self::confirm_totp`]).
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::Conflict`] when there is an authenticator app: take it away first.
    pub async fn offer_totp(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<TotpOffer> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        if account.totp.is_some() {
            return Err(AccountsError::Conflict("there is an authenticator app: take it away first"));
        }
        let secret = Zeroizing::new(random::<SECRET_BYTES>()?);
        let sealed = self.config().key.seal(user.as_bytes(), secret.as_ref())?;
        self.store().offer_totp(user, &sealed).await?;
        let base32 = Zeroizing::new(base32(secret.as_ref()));
        let service = percent_encoded(&self.config().service);
        let label = percent_encoded(account.email.as_deref().unwrap_or(&account.name));
        let uri = format!("otpauth://totp/{service}:{label}?secret={}&issuer={service}", *base32);
        let uri = Zeroizing::new(uri);
        let grouped: Vec<&str> = (0..base32.len()).step_by(4).filter_map(|at| base32.get(at..at + 4)).collect();
        Ok(TotpOffer { secret: Zeroizing::new(grouped.join(" ")), qr_svg: qr::svg(&uri)?, uri })
    }

    /// Puts the secret that was offered in force, with a code that shows that the app has it. Gives the recovery codes, shown this once, when
    /// there were none.
    ///
    /// # Errors
    /// [`AccountsError::WrongCode`], [`AccountsError::NotFound`] when none was offered, [`AccountsError::TooManyTries`].
    pub async fn confirm_totp(&self, user: Uuid, code: &str) -> Result<Option<Vec<String>>> {
        let payer = [Payer::subject("confirm-totp", &user.to_string())];
        self.inner.throttle.charge(&payer, self.now())?;
        let account = self.account_of(user).await?;
        let sealed = account.totp_offered.as_ref().ok_or(AccountsError::NotFound("offer of an authenticator app"))?;
        let secret = self.config().key.open(user.as_bytes(), sealed)?;
        let now = self.now();
        let step = matching_step(&secret, code, now).ok_or(AccountsError::WrongCode)?;
        if !self.store().confirm_totp(user, sealed, step, now).await? {
            return Err(AccountsError::WrongCode);
        }
        self.inner.throttle.forgive(&payer);
        self.factor_added(&account, "factor-totp").await?;
        self.first_recovery_codes(user).await
    }

    /// Takes the authenticator app away. Recovery codes go with the last second factor.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::NotFound`] when there is none.
    pub async fn remove_totp(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<()> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        if !self.store().remove_totp(user).await? {
            return Err(AccountsError::NotFound("authenticator app"));
        }
        if self.store().passkeys(user).await?.is_empty() {
            self.store().replace_recovery_codes(user, &[]).await?;
        }
        self.factor_removed(&account, "factor-totp").await
    }

    /// Whether this is a code of the account's app, for the first time: it is used up.
    pub(crate) async fn use_totp(&self, account: &Account, code: &str) -> Result<bool> {
        let Some(sealed) = &account.totp else { return Ok(false) };
        let secret = self.config().key.open(account.user.as_bytes(), sealed)?;
        match matching_step(&secret, code, self.now()) {
            // RFC 6238, 5.2: a code is good once. One from before it is none any more, either.
            Some(step) => Ok(self.store().use_totp_step(account.user, step).await?),
            None => Ok(false),
        }
    }

    pub(crate) async fn factor_added(&self, account: &Account, factor: &'static str) -> Result<()> {
        self.factor_changed(account, Kind::FactorAdded, factor, "account.factor.add").await
    }

    pub(crate) async fn factor_removed(&self, account: &Account, factor: &'static str) -> Result<()> {
        self.factor_changed(account, Kind::FactorRemoved, factor, "account.factor.remove").await
    }

    async fn factor_changed(&self, account: &Account, kind: Kind, factor: &'static str, action: &str) -> Result<()> {
        let name = texts(&account.language).get(factor);
        self.mail_to_account(account, kind, &[("factor", name), ("link", &self.link("/account/security"))]);
        self.audit(account.user, action, serde_json::json!({"factor": factor})).await
    }
}

/// The step whose code this is, among those around `now`. All are compared, so that the time tells nothing.
fn matching_step(secret: &[u8], code: &str, now: OffsetDateTime) -> Option<u64> {
    let digits = typed_digits(code, DIGITS)?;
    let current = now.unix_timestamp().div_euclid(STEP_S);
    let mut matching = None;
    for step in current - STEPS_AROUND..=current + STEPS_AROUND {
        let Ok(step) = u64::try_from(step) else { continue };
        if is_equal(code_at(secret, step).as_bytes(), digits.as_bytes()) {
            matching = Some(step);
        }
    }
    matching
}

fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differing, (a, b)| std::hint::black_box(differing | (a ^ b))) == 0
}

/// The code of a step (RFC 4226, 5.3).
fn code_at(secret: &[u8], step: u64) -> Zeroizing<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or_default() & 0x0f);
    let bytes = tag.as_ref().get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let number = u32::from_be_bytes(bytes) & 0x7fff_ffff;
    Zeroizing::new(format!("{:06}", number % 1_000_000))
}

/// RFC 4648, 6, without padding.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let digit = DIGITS.get((held >> bits) as usize & 31);
            text.extend(digit.map(|digit| char::from(*digit)));
        }
    }
    if bits > 0 {
        let digit = DIGITS.get((held << (5 - bits)) as usize & 31);
        text.extend(digit.map(|digit| char::from(*digit)));
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The code of an app that has this secret, for tests and demonstrations: what the app would show at `now`.
#[must_use]
pub fn totp_code(secret_base32: &str, now: OffsetDateTime) -> Option<String> {
    let mut secret = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for c in secret_base32.bytes().filter(|c| *c != b' ') {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'2'..=b'7' => c - b'2' + 26,
            _ => return None,
        };
        held = ((held << 5) | u32::from(digit)) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            secret.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    let step = u64::try_from(now.unix_timestamp().div_euclid(STEP_S)).ok()?;
    Some(code_at(&secret, step).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standards() {
        // RFC 4226, appendix D, and the six last digits of RFC 6238, appendix B.
        let secret = b"12345678901234567890";
        for (step, code) in [(0, "755224"), (1, "287082"), (9, "520489")] {
            assert_eq!(code_at(secret, step).as_str(), code);
        }
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            assert_eq!(code_at(secret, u64::try_from(seconds / 30).unwrap()).as_str(), code);
            assert_eq!(matching_step(secret, code, now), Some(u64::try_from(seconds / 30).unwrap()));
            assert_eq!(totp_code(&base32(secret), now).unwrap(), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_around_its_own() {
        let secret = b"12345678901234567890";
        let at = |seconds| matching_step(secret, "755224", OffsetDateTime::from_unix_timestamp(seconds).unwrap());
        assert_eq!([at(0), at(29), at(30), at(59)], [Some(0); 4]);
        assert_eq!(at(60), None);
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }
}
