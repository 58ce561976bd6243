//! One password's hash: argon2id, and what mosquitto writes.

use std::fmt;
use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::digest;
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{AuthError, Result};
use crate::secret::bytes_are_equal;

/// The most memory that a hash of a file may ask for, in KiB: each password that is tried takes it.
const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The most passes over it.
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;
/// The most rounds of PBKDF2: about a second's work.
const PBKDF2_ROUNDS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
const SHA512_BYTES: usize = 64;

/// What one hash by argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes; they are computed one after the other.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// 19 MiB and two passes: about 15 ms of one core.
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST, lanes: Params::DEFAULT_P_COST }
    }
}

impl Argon2Cost {
    /// Brought within what a hash that is read may ask for.
    fn params(self) -> Params {
        let lanes = self.lanes.clamp(1, ARGON2_LANES_MAX);
        // RFC 9106, 3.1: at least eight blocks of 1 KiB a lane.
        let memory_kib = self.memory_kib.clamp(8 * lanes, ARGON2_MEMORY_KIB_MAX);
        let passes = self.passes.clamp(1, ARGON2_PASSES_MAX);
        Params::new(memory_kib, passes, lanes, None).unwrap_or_default()
    }
}

/// The hash of a password. Its text is a PHC string, `$argon2id$v=19$m=...`, or mosquitto's `$7$rounds$salt$hash` (PBKDF2 with SHA-512) or
/// `$6$salt$hash` (one SHA-512).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Scheme);

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    Argon2id { params: Params, salt: Box<[u8]>, hash: Box<[u8]> },
    Pbkdf2 { rounds: NonZeroU32, salt: Box<[u8]>, hash: Box<[u8]> },
    Sha512 { salt: Box<[u8]>, hash: Box<[u8]> },
}

impl PasswordHash {
    /// Reads the text of a hash; the error says what is wrong with it.
    ///
    /// # Errors
    /// An unknown kind, parts that can't be read, and costs beyond what a broker should pay for each password that somebody tries.
    pub fn parse(text: &str) -> Result<Self, String> {
        let kind = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
        match kind {
            Some(("argon2id", _)) => argon2id(text),
            Some(("7", rest)) => mosquitto_pbkdf2(rest),
            Some(("6", rest)) => mosquitto_sha512(rest),
            Some((kind, _)) => Err(format!("hashes of the kind ${kind}$ are not known: $argon2id$, $7$ and $6$ are")),
            None => Err("no hash: make one with `mooring password hash`".to_owned()),
        }
        .map(Self)
    }

    /// Hashes a password, with a new salt, for a file: argon2id with 19 MiB and two passes.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn make(password: &[u8]) -> Result<String> {
        Self::make_at(password, Argon2Cost::default())
    }

    /// Hashes a password, with a new salt: argon2id at this cost.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn make_at(password: &[u8], cost: Argon2Cost) -> Result<String> {
        let params = cost.params();
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| AuthError::Random)?;
        let mut hash = Zeroizing::new([0; Params::DEFAULT_OUTPUT_LEN]);
        // What can fail is a password of 4 GiB, or parameters that are wrong.
        argon2(&params).hash_password_into(password, &salt, hash.as_mut()).map_err(|_| AuthError::Random)?;
        let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash.as_ref()));
        Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
    }

    /// Whether this is argon2id at exactly this cost; another is better hashed anew when the password is at hand.
    #[must_use]
    pub fn is_at(&self, cost: Argon2Cost) -> bool {
        let wanted = cost.params();
        match &self.0 {
            Scheme::Argon2id { params, .. } => {
                (params.m_cost(), params.t_cost(), params.p_cost())
                    == (wanted.m_cost(), wanted.t_cost(), wanted.p_cost())
            }
            Scheme::Pbkdf2 { .. } | Scheme::Sha512 { .. } => false,
        }
    }

    /// Whether this is the hash of the password. Takes milliseconds of a processor and megabytes of memory: nothing for a reactor's thread.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        match &self.0 {
            Scheme::Argon2id { params, salt, hash } => {
                let mut made = Zeroizing::new(vec![0; hash.len()]);
                let hashed = argon2(params).hash_password_into(password, salt, &mut made);
                hashed.is_ok() && bytes_are_equal(&made, hash)
            }
            Scheme::Pbkdf2 { rounds, salt, hash } => {
                // HMAC fills its key up with zeros: the password with zeros behind it would be right, too.
                let is_right = pbkdf2::verify(PBKDF2_HMAC_SHA512, *rounds, salt, password, hash).is_ok();
                is_right && password.last() != Some(&0)
            }
            Scheme::Sha512 { salt, hash } => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(salt);
                bytes_are_equal(context.finish().as_ref(), hash)
            }
        }
    }

    /// Whether whoever has read the file can try passwords fast: better hashed anew.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        match &self.0 {
            Scheme::Argon2id { .. } => false,
            Scheme::Pbkdf2 { .. } | Scheme::Sha512 { .. } => true,
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash([redacted])")
    }
}

fn argon2(params: &Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
}

fn argon2id(text: &str) -> Result<Scheme, String> {
    let unreadable = || "not a PHC string as $argon2id$v=19$m=19456,t=2,p=1$salt$hash".to_owned();
    let hash = phc::PasswordHash::new(text).map_err(|_| unreadable())?;
    if hash.version != Some(u32::from(Version::V0x13)) {
        return Err("the version of argon2id is not 19".to_owned());
    }
    let params = Params::try_from(&hash).map_err(|_| unreadable())?;
    if params.m_cost() > ARGON2_MEMORY_KIB_MAX
        || params.t_cost() > ARGON2_PASSES_MAX
        || params.p_cost() > ARGON2_LANES_MAX
    {
        return Err(format!(
            "argon2id beyond m={ARGON2_MEMORY_KIB_MAX},t={ARGON2_PASSES_MAX},p={ARGON2_LANES_MAX} costs more than a broker should pay for a try"
        ));
    }
    let (Some(salt), Some(hash)) = (hash.salt, hash.hash) else { return Err(unreadable()) };
    Ok(Scheme::Argon2id { params, salt: salt.as_ref().into(), hash: hash.as_bytes().into() })
}

fn mosquitto_pbkdf2(rest: &str) -> Result<Scheme, String> {
    let (rounds, rest) = rest.split_once('$').ok_or("not as $7$rounds$salt$hash")?;
    let rounds: NonZeroU32 = rounds.parse().map_err(|_| format!("{rounds:?} is no number of rounds"))?;
    if rounds.get() > PBKDF2_ROUNDS_MAX {
        return Err(format!("more than {PBKDF2_ROUNDS_MAX} rounds cost more than a broker should pay for a try"));
    }
    let (salt, hash) = salt_and_hash(rest)?;
    Ok(Scheme::Pbkdf2 { rounds, salt, hash })
}

fn mosquitto_sha512(rest: &str) -> Result<Scheme, String> {
    let (salt, hash) = salt_and_hash(rest)?;
    Ok(Scheme::Sha512 { salt, hash })
}

type SaltAndHash = (Box<[u8]>, Box<[u8]>);

fn salt_and_hash(text: &str) -> Result<SaltAndHash, String> {
    let (salt, hash) = text.split_once('$').ok_or("salt or hash are missing")?;
    let decoded = |text| STANDARD.decode(text).map_err(|_| "salt or hash are no base64".to_owned());
    let (salt, hash) = (decoded(salt)?, decoded(hash)?);
    if hash.len() != SHA512_BYTES {
        return Err(format!("the hash has {} bytes, and not {SHA512_BYTES}", hash.len()));
    }
    Ok((salt.into(), hash.into()))
}

#[cfg(test)]
mod tests {
    use super::PasswordHash;

    /// Written by `mosquitto_passwd` of mosquitto 2.0.
    const PBKDF2: &str = "$7$101$d4rnyZFgPNRj+wgZ$xrExztiq5dwAavZmtIMWfkbJsEHWOdjWbz/bYB1t3vR1uk61bwU2EaTucp6eCbKuUKTEIc+WO7o5BmlIbzjfJQ==";
    const SHA512: &str =
        "$6$M3WgCqRpYPv81B7a$SPbs3c0w48e5o7PvL15QA42GQyuGc1kDJ+xv3/NqNUPlCRHUcSdbFxeEi8J/WofKREO/ONMswd4PZRHs1nLc0w==";
    /// RFC 9106's reference implementation: `echo -n password | argon2 somesalt -id -m 16 -t 2 -p 1`.
    const ARGON2: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn hashes_of_others_are_understood() {
        for (text, password) in [(PBKDF2, "secret"), (SHA512, "secret"), (ARGON2, "password")] {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.is_of(password.as_bytes()), "{text}");
            for wrong in ["", "Secret", "secret\0", "passwor", "password "] {
                assert!(!hash.is_of(wrong.as_bytes()), "{text}: {wrong:?}");
            }
        }
    }

    #[test]
    fn a_hash_that_is_made_is_argon2id_with_a_salt_of_its_own() {
        let texts = [(); 2].map(|()| PasswordHash::make(b"open sesame").unwrap());
        assert_ne!(texts[0], texts[1]);
        for text in texts {
            assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
            let hash = PasswordHash::parse(&text).unwrap();
            assert!(hash.is_of(b"open sesame") && !hash.is_of(b"open"));
        }
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        for (text, says) in [
            ("secret", "no hash"),
            ("", "no hash"),
            ("$1$salt$hash", "not known"),
            ("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "not known"),
            ("$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "version"),
            ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", "PHC"),
            ("$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "costs more"),
            ("$7$0$c2FsdA==$aGFzaA==", "rounds"),
            ("$7$4000000000$c2FsdA==$aGFzaA==", "cost more"),
            ("$7$101$c2FsdA==$aGFzaA==", "4 bytes"),
            ("$6$c2FsdA==", "missing"),
            ("$6$c2FsdA==$!", "base64"),
        ] {
            let error = PasswordHash::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
