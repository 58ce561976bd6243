//! Private keys encrypted at rest: argon2id makes the key of a passphrase or of a key file, ChaCha20-Poly1305 encrypts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::disk;
use crate::error::{Error, Result};

/// The label of the PEM block.
pub(crate) const LABEL: &str = "MOORING ENCRYPTED PRIVATE KEY";

/// The only layout there is: version, costs, salt, nonce, ciphertext with its tag.
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const HEADER_BYTES: usize = 1 + 3 * 4 + SALT_BYTES + NONCE_LEN;
/// A tenth of a second's work and 64 MiB: a start opens a handful of keys, who guesses pays it for each guess.
const COSTS: [u32; 3] = [64 * 1024, 3, 1];
/// What a file may ask for, so that one that was tampered with cannot eat the machine.
const COSTS_MAX: [u32; 3] = [1024 * 1024, 64, 16];
const SECRET_BYTES_MIN: usize = 8;

/// The passphrase, or the content of a key file, that opens the authority's keys. Wiped when the last clone is dropped.
#[derive(Clone)]
pub struct KeySecret(Arc<Zeroizing<Vec<u8>>>);

impl KeySecret {
    /// Takes a passphrase, or the bytes of a key file: at least 8.
    pub fn new(secret: &[u8]) -> Result<Self> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(Error::ShortSecret { bytes_min: SECRET_BYTES_MIN });
        }
        Ok(Self(Arc::new(Zeroizing::new(secret.to_vec()))))
    }

    /// Reads it from a file that not every user may read; a line end at its end is no part of it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = disk::read_private_bytes(path)?;
        let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Self::new(end.strip_suffix(b"\r").unwrap_or(end))
    }

    /// Encrypts, under a new salt and nonce.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
        random.fill(&mut salt)?;
        random.fill(&mut nonce)?;
        let costs = COSTS.map(u32::to_be_bytes).concat();
        let header = [&[VERSION][..], &costs, &salt, &nonce].concat();
        let mut sealed = Zeroizing::new(plain.to_vec());
        let key = self.key(COSTS, &salt)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&header), &mut *sealed)?;
        Ok([header.as_slice(), &sealed].concat())
    }

    /// Decrypts; none when the secret is another one, or the bytes were changed.
    pub fn open(&self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some((header, ciphertext)) = sealed.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let Some(([VERSION], rest)) = header.split_first_chunk::<1>() else { return Ok(None) };
        let Some((costs, rest)) = rest.split_first_chunk::<12>() else { return Ok(None) };
        let Some((salt, nonce)) = rest.split_first_chunk::<SALT_BYTES>() else { return Ok(None) };
        let (Ok(nonce), (costs, _)) = (nonce.try_into(), costs.as_chunks::<4>()) else { return Ok(None) };
        let mut read = [0; 3];
        for ((cost, bytes), max) in read.iter_mut().zip(costs).zip(COSTS_MAX) {
            *cost = u32::from_be_bytes(*bytes);
            if *cost > max {
                return Ok(None);
            }
        }
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        let key = self.key(read, salt)?;
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut plain);
        let Ok(length) = opened.map(|plain| plain.len()) else { return Ok(None) };
        plain.truncate(length);
        Ok(Some(plain))
    }

    fn key(&self, [memory_kib, passes, lanes]: [u32; 3], salt: &[u8]) -> Result<LessSafeKey> {
        let failed = |error: argon2::Error| Error::Crypto(format!("argon2id: {error}"));
        let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&self.0, salt, key.as_mut())
            .map_err(failed)?;
        Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_ref())?))
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_its_secret_alone_and_a_change_is_seen() {
        let secret = KeySecret::new(b"correct horse").expect("long enough");
        let sealed = secret.seal(b"a private key").expect("sealed");
        assert!(!sealed.windows(7).any(|window| window == b"private"));
        assert_eq!(secret.open(&sealed).expect("opened").as_deref().map(Vec::as_slice), Some(&b"a private key"[..]));
        let other = KeySecret::new(b"battery staple").expect("long enough");
        assert!(other.open(&sealed).expect("tried").is_none());
        for at in [0, 1, HEADER_BYTES - 1, HEADER_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 0x80;
            assert!(secret.open(&changed).expect("tried").is_none(), "byte {at}");
        }
        assert!(secret.open(&sealed[..HEADER_BYTES - 1]).expect("tried").is_none());
        assert!(KeySecret::new(b"short").is_err());
    }
}
