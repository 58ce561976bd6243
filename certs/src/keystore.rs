//! Where the authority's private keys are, and the keys that this program makes for itself.

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use crate::authority::CaRole;
use crate::disk;
use crate::error::{Error, Result};
use crate::pem;
use crate::sealed::{self, KeySecret};

/// Where the authority's private keys are kept: files, encrypted or not; PKCS#11 tokens fit behind it.
pub trait KeyStore: Send + Sync {
    /// Makes a new P-256 key and keeps it. A key that is there is never replaced.
    fn create(&self, name: KeyName) -> Result<CaKey>;
    /// Opens a key that was made before.
    fn open(&self, name: KeyName) -> Result<CaKey>;
    /// Whether the key is there, without opening it.
    fn holds(&self, name: KeyName) -> Result<bool>;
}

/// Which key of the authority: those of a role follow each other in generations, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// Whose.
    pub role: CaRole,
    /// Which of them, in the order in which they were made.
    pub generation: u32,
}

impl KeyName {
    pub(crate) fn key_file(self) -> String {
        format!("{self}.key")
    }

    pub(crate) fn certificate_file(self) -> String {
        format!("{self}.pem")
    }
}

impl From<CaRole> for KeyName {
    /// The first.
    fn from(role: CaRole) -> Self {
        Self { role, generation: 1 }
    }
}

impl fmt::Display for KeyName {
    /// The name of its files, without their ends: `devices`, then `devices-2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            1 => write!(f, "{}", self.role),
            later => write!(f, "{}-{later}", self.role),
        }
    }
}

/// A signing key of the authority, wherever it is.
pub struct CaKey(Box<dyn SigningKey + Send + Sync>);

impl CaKey {
    /// Takes any signer, such as a token that never gives its key away.
    pub fn new(signer: impl SigningKey + Send + Sync + 'static) -> Self {
        Self(Box::new(signer))
    }
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaKey")
    }
}

impl SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// Keys in files of one directory, readable by their owner alone: in PKCS#8 PEM, or encrypted where there is a secret.
#[derive(Debug, Clone)]
pub struct FileKeyStore {
    dir: PathBuf,
    secret: Option<KeySecret>,
}

impl FileKeyStore {
    /// The keys of this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, secret: None }
    }

    /// The same keys, encrypted: new ones are written so, and those that are encrypted are opened with this secret.
    pub fn with_secret(self, secret: Option<KeySecret>) -> Self {
        Self { secret, ..self }
    }

    /// Whether the file of a key is encrypted.
    pub fn is_encrypted(&self, name: KeyName) -> Result<bool> {
        Ok(disk::read_private(&self.path(name))?.contains(sealed::LABEL))
    }

    /// Encrypts the file of a key that is not encrypted yet; true when it did.
    pub fn encrypt(&self, name: KeyName) -> Result<bool> {
        let path = self.path(name);
        let text = disk::read_private(&path)?;
        if text.contains(sealed::LABEL) {
            return Ok(false);
        }
        let secret = self.secret.as_ref().ok_or_else(|| Error::KeyLocked(path.clone()))?;
        let key = Self::parse(&path, &text)?;
        disk::replace(&path, sealed_pem(secret, &key)?.as_bytes(), disk::PRIVATE)?;
        Ok(true)
    }

    /// The file of a key as it is, to keep it elsewhere.
    pub(crate) fn read_file(&self, name: KeyName) -> Result<Zeroizing<String>> {
        disk::read_private(&self.path(name))
    }

    /// Writes the file of a key that was kept elsewhere.
    pub(crate) fn write_file(&self, name: KeyName, text: &str) -> Result<()> {
        disk::write_new(&self.path(name), text.as_bytes(), disk::PRIVATE)
    }

    pub(crate) fn remove(&self, name: KeyName) -> Result<()> {
        disk::remove(&self.path(name))
    }

    /// The key in the text of a file, which may be one that is not in the directory.
    pub(crate) fn read_text(&self, path: &Path, text: &str) -> Result<PrivateKey> {
        if !text.contains(sealed::LABEL) {
            return Self::parse(path, text);
        }
        let sealed = pem::decode(text, &[sealed::LABEL])
            .map_err(|reason| Error::BadFile { path: path.to_owned(), reason: reason.to_owned() })?;
        let secret = self.secret.as_ref().ok_or_else(|| Error::KeyLocked(path.to_owned()))?;
        let pkcs8 = secret.open(&sealed)?.ok_or_else(|| Error::WrongSecret(path.to_owned()))?;
        PrivateKey::from_pkcs8(pkcs8)
            .map_err(|error| Error::BadFile { path: path.to_owned(), reason: error.to_string() })
    }

    fn parse(path: &Path, text: &str) -> Result<PrivateKey> {
        PrivateKey::from_pem(text).map_err(|error| Error::BadFile { path: path.to_owned(), reason: error.to_string() })
    }

    fn path(&self, name: KeyName) -> PathBuf {
        self.dir.join(name.key_file())
    }
}

fn sealed_pem(secret: &KeySecret, key: &PrivateKey) -> Result<String> {
    Ok(pem::encode(sealed::LABEL, &secret.seal(&key.pkcs8)?))
}

impl KeyStore for FileKeyStore {
    fn create(&self, name: KeyName) -> Result<CaKey> {
        let key = PrivateKey::generate()?;
        let text = match &self.secret {
            Some(secret) => Zeroizing::new(sealed_pem(secret, &key)?),
            None => key.to_pem(),
        };
        // It refuses when there is one.
        self.write_file(name, &text)?;
        Ok(CaKey::new(key))
    }

    fn open(&self, name: KeyName) -> Result<CaKey> {
        let path = self.path(name);
        self.read_text(&path, &disk::read_private(&path)?).map(CaKey::new)
    }

    fn holds(&self, name: KeyName) -> Result<bool> {
        disk::exists(&self.path(name))
    }
}

/// A P-256 key that this program holds itself: of a server, of a simulated device, of the authority.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
}

impl PrivateKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Reads a key in PKCS#8 PEM.
    pub fn from_pem(text: &str) -> Result<Self> {
        let pkcs8 = pem::decode(text, &[pem::PRIVATE_KEY])
            .map_err(|reason| Error::PrivateKey(format!("PKCS#8 PEM: {reason}")))?;
        Self::from_pkcs8(pkcs8)
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new())
            .map_err(|reason| Error::PrivateKey(format!("one of P-256 in PKCS#8: {reason}")))?;
        Ok(Self { pkcs8, pair })
    }

    /// The private key in PKCS#8 PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode(pem::PRIVATE_KEY, &self.pkcs8))
    }

    /// The private key as a TLS endpoint takes it.
    pub fn to_der(&self) -> PrivatePkcs8KeyDer<'static> {
        self.pkcs8.to_vec().into()
    }

    /// A signing request in PEM, with an empty subject: the authority sets the names.
    pub fn request_pem(&self) -> Result<String> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(self)?;
        Ok(pem::encode(pem::CERTIFICATE_REQUEST, request.der()))
    }
}

/// Makes a new P-256 key, in PKCS#8 PEM.
pub fn generate_key_pem() -> Result<Zeroizing<String>> {
    Ok(PrivateKey::generate()?.to_pem())
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
