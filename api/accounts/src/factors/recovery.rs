//! Recovery codes: ten, each good once, in the place of a second factor that was lost.

use mooring_store::Account;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::accounts::{Accounts, Proof};
use crate::error::{AccountsError, Result};
use crate::token::random;
use crate::visitor::Visitor;

/// How many there are.
const CODES: usize = 10;
/// Digits of Crockford's base 32, which nobody misreads: 60 random bits.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS: usize = 12;

impl Accounts {
    /// Makes new recovery codes, shown this once, in the place of those before.
    ///
    /// # Errors
    /// As [`Self::change_password`]; [`AccountsError::Conflict`] without a second factor that they could stand in for.
    pub async fn new_recovery_codes(&self, user: Uuid, proof: Proof<'_>, visitor: &Visitor) -> Result<Vec<String>> {
        let account = self.account_of(user).await?;
        self.require(&account, proof, visitor).await?;
        if self.second_factors(&account).await?.is_empty() {
            return Err(AccountsError::Conflict("recovery codes need a second factor beside them"));
        }
        let codes = self.make_recovery_codes(user).await?;
        self.factor_added(&account, "factor-recovery-codes").await?;
        Ok(codes)
    }

    /// The first ones, unless there are some left.
    pub(super) async fn first_recovery_codes(&self, user: Uuid) -> Result<Option<Vec<String>>> {
        match self.store().recovery_codes_left(user).await? {
            0 => self.make_recovery_codes(user).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn make_recovery_codes(&self, user: Uuid) -> Result<Vec<String>> {
        let codes = (0..CODES).map(|_| generate()).collect::<Result<Vec<_>>>()?;
        let hashes: Vec<[u8; 32]> = codes.iter().map(|code| self.recovery_hash(user, code)).collect();
        self.store().replace_recovery_codes(user, &hashes).await?;
        let grouped = |code: &Zeroizing<String>| {
            let group = |at: usize| code.get(at..at + 4).unwrap_or_default();
            format!("{}-{}-{}", group(0), group(4), group(8))
        };
        Ok(codes.iter().map(grouped).collect())
    }

    /// Whether this is a recovery code of the account that was not used: it is used up.
    pub(crate) async fn use_recovery_code(&self, account: &Account, code: &str) -> Result<bool> {
        let Some(code) = typed(code) else { return Ok(false) };
        let hash = self.recovery_hash(account.user, &code);
        let used = self.store().use_recovery_code(account.user, &hash, self.now()).await?;
        if used {
            self.audit_plain(account.user, "account.recovery-code.use").await?;
        }
        Ok(used)
    }

    fn recovery_hash(&self, user: Uuid, code: &str) -> [u8; 32] {
        self.config().key.mac(&[b"recovery", user.as_bytes(), code.as_bytes()])
    }
}

fn generate() -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(random::<CODE_CHARS>()?);
    let digits = bytes.iter().filter_map(|byte| DIGITS.get(usize::from(byte % 32)));
    Ok(Zeroizing::new(digits.map(|digit| char::from(*digit)).collect()))
}

/// A code however a person wrote it: in either case, with or without hyphens and spaces, O for 0, I and L for 1.
fn typed(text: &str) -> Option<Zeroizing<String>> {
    if text.len() > 4 * CODE_CHARS {
        return None;
    }
    let mut code = Zeroizing::new(String::with_capacity(CODE_CHARS));
    for c in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
        let digit = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !u8::try_from(digit).is_ok_and(|digit| DIGITS.contains(&digit)) {
            return None;
        }
        code.push(digit);
    }
    (code.len() == CODE_CHARS).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_a_person_writes_it() {
        for text in ["0123-4567-89AB", "o123 4567 89ab", "0i2345678-9Ab"] {
            let read = typed(text).map(|code| code.to_string());
            assert!(read.is_some_and(|read| read.replace('1', "") == "023456789AB"), "{text}");
        }
        for text in ["", "0123-4567-89A", "0123-4567-89ABC", "0123-4567-89AU", "0123-4567-89A\u{e9}", &"-".repeat(1000)]
        {
            assert!(typed(text).is_none(), "{text:?}");
        }
        assert_eq!(typed(&generate().unwrap()).unwrap().len(), CODE_CHARS);
    }
}
