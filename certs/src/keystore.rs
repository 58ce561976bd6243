//! Where the authority's private keys are, and the keys that this program makes for itself.

use std::fmt;
use std::path::PathBuf;

use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use crate::authority::CaRole;
use crate::disk;
use crate::error::{Error, Result};
use crate::pem;

/// Where the authority's private keys are kept: files now; encrypted files and PKCS#11 tokens fit behind it.
pub trait KeyStore: Send + Sync {
    /// Makes a new P-256 key and keeps it. A key that is there is never replaced.
    fn create(&self, role: CaRole) -> Result<CaKey>;
    /// Opens a key that was made before.
    fn open(&self, role: CaRole) -> Result<CaKey>;
    /// Whether the key is there, without opening it.
    fn holds(&self, role: CaRole) -> Result<bool>;
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

/// Keys in files of one directory, in PKCS#8 PEM, readable by their owner alone.
#[derive(Debug, Clone)]
pub struct FileKeyStore {
    dir: PathBuf,
}

impl FileKeyStore {
    /// The keys of this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl KeyStore for FileKeyStore {
    fn create(&self, role: CaRole) -> Result<CaKey> {
        let key = PrivateKey::generate()?;
        // `write_new` refuses when there is one.
        disk::write_new(&self.dir.join(role.key_file()), key.to_pem().as_bytes(), disk::PRIVATE)?;
        Ok(CaKey::new(key))
    }

    fn open(&self, role: CaRole) -> Result<CaKey> {
        let path = self.dir.join(role.key_file());
        let text = disk::read_private(&path)?;
        match PrivateKey::from_pem(&text) {
            Ok(key) => Ok(CaKey::new(key)),
            Err(error) => Err(Error::BadFile { path, reason: error.to_string() }),
        }
    }

    fn holds(&self, role: CaRole) -> Result<bool> {
        disk::exists(&self.dir.join(role.key_file()))
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
