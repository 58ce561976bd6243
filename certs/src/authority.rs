//! The authority: one root, three intermediates, and the directory that they live in.

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData,
};
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::disk;
use crate::error::{Error, Result};
use crate::ids::TrustDomain;
use crate::issue::BACKDATE;
use crate::keystore::{CaKey, FileKeyStore, KeyStore};
use crate::pem;
use crate::serial::{KeyId, Serial};

const ROOT_DAYS: i64 = 20 * 365;
const INTERMEDIATE_DAYS: i64 = 10 * 365;
/// RFC 5280, appendix A.1: ub-common-name and ub-organization-name are 64; the name of an intermediate adds to it.
const ORGANISATION_BYTES_MAX: usize = 40;
/// Written last: where it is, the authority is whole.
const METADATA_FILE: &str = "ca.toml";
const METADATA_FORMAT: u32 = 1;

/// What a new authority is for.
#[derive(Debug, Clone)]
pub struct CaOptions {
    /// The trust domain of every id that it will give.
    pub trust_domain: TrustDomain,
    /// Whose it is, for people to read; in the subject of the root and the intermediates.
    pub organisation: String,
    /// The time at which it is made.
    pub now: OffsetDateTime,
}

/// The certificates of an authority, each with its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaRole {
    /// The trust anchor: signs the intermediates. Its key can be taken off the machine.
    Root,
    /// Signs devices.
    Devices,
    /// Signs clients of people.
    Clients,
    /// Signs servers.
    Servers,
}

impl CaRole {
    /// Those that sign leaves.
    pub const INTERMEDIATES: [Self; 3] = [Self::Devices, Self::Clients, Self::Servers];

    /// The name in file names and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Devices => "devices",
            Self::Clients => "clients",
            Self::Servers => "servers",
        }
    }

    pub(crate) fn key_file(self) -> String {
        format!("{}.key", self.name())
    }

    fn certificate_file(self) -> String {
        format!("{}.pem", self.name())
    }

    /// What the certificates under it may be used for; none means any use.
    pub(crate) fn extended_key_usages(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Root => Vec::new(),
            Self::Devices | Self::Clients => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Self::Servers => vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }
}

impl fmt::Display for CaRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A certificate authority that is ready to issue. The root's key is not held: only making intermediates needs it.
#[derive(Debug)]
pub struct Authority {
    trust_domain: TrustDomain,
    organisation: String,
    root: CaCertificate,
    devices: Intermediate,
    clients: Intermediate,
    servers: Intermediate,
    pub(crate) random: SystemRandom,
}

/// A certificate of the authority, and what is needed of it often.
#[derive(Debug)]
pub(crate) struct CaCertificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_id: KeyId,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// An intermediate with its key.
#[derive(Debug)]
pub(crate) struct Intermediate {
    pub(crate) certificate: CaCertificate,
    pub(crate) issuer: Issuer<'static, CaKey>,
}

/// What `ca.toml` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    format: u32,
    trust_domain: TrustDomain,
    organisation: String,
}

impl Authority {
    /// Makes a new authority in a directory that holds none, and keeps its keys in files there.
    pub fn create(dir: &Path, options: &CaOptions) -> Result<Self> {
        match Presence::of(dir)? {
            Presence::Nothing => {}
            Presence::Whole => return Err(Error::Exists(dir.to_owned())),
            Presence::Part(error) => return Err(error),
        }
        let metadata = Metadata {
            format: METADATA_FORMAT,
            trust_domain: options.trust_domain.clone(),
            organisation: checked_organisation(&options.organisation)?,
        };
        disk::create_dir(dir)?;
        let keys = FileKeyStore::new(dir.to_owned());
        write_hierarchy(dir, &keys, &metadata, options.now)?;
        let text = toml::to_string(&metadata).map_err(|error| bad_file(dir.join(METADATA_FILE), error))?;
        disk::write_new(&dir.join(METADATA_FILE), text.as_bytes(), disk::PUBLIC)?;
        Self::open(dir)
    }

    /// Opens the authority of a directory.
    pub fn open(dir: &Path) -> Result<Self> {
        match Presence::of(dir)? {
            Presence::Whole => Self::open_with(dir, &FileKeyStore::new(dir.to_owned())),
            Presence::Nothing => Err(Error::NotFound(dir.to_owned())),
            Presence::Part(error) => Err(error),
        }
    }

    /// Opens the authority of a directory, or makes it; tells which: true when it is new.
    pub fn open_or_create(dir: &Path, options: &CaOptions) -> Result<(Self, bool)> {
        match Self::open(dir) {
            Err(Error::NotFound(_)) => Ok((Self::create(dir, options)?, true)),
            other => Ok((other?, false)),
        }
    }

    fn open_with(dir: &Path, keys: &dyn KeyStore) -> Result<Self> {
        let path = dir.join(METADATA_FILE);
        let metadata: Metadata = toml::from_str(&disk::read(&path)?).map_err(|error| bad_file(path.clone(), error))?;
        if metadata.format != METADATA_FORMAT {
            let reason = format!("format {} is not known to this version", metadata.format);
            return Err(Error::BadFile { path, reason });
        }
        let root = read_certificate(dir, CaRole::Root, None)?;
        let open = |role| Intermediate::open(dir, keys, role, &root);
        let (devices, clients, servers) = (open(CaRole::Devices)?, open(CaRole::Clients)?, open(CaRole::Servers)?);
        Ok(Self {
            trust_domain: metadata.trust_domain,
            organisation: metadata.organisation,
            root,
            devices,
            clients,
            servers,
            random: SystemRandom::new(),
        })
    }

    /// The trust domain of every id that this authority gives.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Whose authority it is.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// A certificate of the authority: the root for those who verify chains from it, an intermediate as the anchor of
    /// one kind of peer.
    pub fn certificate(&self, role: CaRole) -> &CertificateDer<'static> {
        &self.ca_certificate(role).der
    }

    /// The key identifier of a certificate of the authority.
    pub fn key_id(&self, role: CaRole) -> KeyId {
        self.ca_certificate(role).key_id
    }

    /// The end of a certificate of the authority.
    pub fn not_after(&self, role: CaRole) -> OffsetDateTime {
        self.ca_certificate(role).not_after
    }

    /// The root in PEM: what a device, a browser or `curl --cacert` has to trust.
    pub fn root_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.root.der)
    }

    /// The root and the intermediates in PEM: for software that wants the whole chain in one file.
    pub fn bundle_pem(&self) -> String {
        let intermediates = CaRole::INTERMEDIATES.map(|role| pem::encode(pem::CERTIFICATE, self.certificate(role)));
        self.root_pem() + &intermediates.concat()
    }

    fn ca_certificate(&self, role: CaRole) -> &CaCertificate {
        match role {
            CaRole::Root => &self.root,
            CaRole::Devices => &self.devices.certificate,
            CaRole::Clients => &self.clients.certificate,
            CaRole::Servers => &self.servers.certificate,
        }
    }

    pub(crate) fn devices(&self) -> &Intermediate {
        &self.devices
    }

    pub(crate) fn clients(&self) -> &Intermediate {
        &self.clients
    }

    pub(crate) fn servers(&self) -> &Intermediate {
        &self.servers
    }
}

impl Intermediate {
    fn open(dir: &Path, keys: &dyn KeyStore, role: CaRole, root: &CaCertificate) -> Result<Self> {
        let certificate = read_certificate(dir, role, Some(root))?;
        let key = keys.open(role)?;
        if KeyId::of_spki(&key.subject_public_key_info()) != certificate.key_id {
            let reason = format!("this certificate is not for the key in {}", role.key_file());
            return Err(Error::BadFile { path: dir.join(role.certificate_file()), reason });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key)?;
        Ok(Self { certificate, issuer })
    }
}

/// How much of an authority a directory holds.
enum Presence {
    Nothing,
    Whole,
    /// Neither; the error says so.
    Part(Error),
}

impl Presence {
    fn of(dir: &Path) -> Result<Self> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for file in required_files() {
            let path = dir.join(&file);
            match path.try_exists() {
                Ok(true) => found.push(file),
                Ok(false) => missing.push(file),
                Err(source) => return Err(Error::Io { action: "look for", path, source }),
            }
        }
        // The root's key may be elsewhere, but where it lies alone, something was begun.
        if dir.join(CaRole::Root.key_file()).exists() {
            found.push(CaRole::Root.key_file());
        }
        Ok(match (found.is_empty(), missing.is_empty()) {
            (true, _) => Self::Nothing,
            (_, true) => Self::Whole,
            _ => Self::Part(Error::HalfMade {
                dir: dir.to_owned(),
                found: found.join(", "),
                missing: missing.join(", "),
            }),
        })
    }
}

fn required_files() -> Vec<String> {
    let mut files = vec![METADATA_FILE.to_owned(), CaRole::Root.certificate_file()];
    for role in CaRole::INTERMEDIATES {
        files.extend([role.certificate_file(), role.key_file()]);
    }
    files
}

/// Makes the root and the intermediates, and writes each certificate after its key.
fn write_hierarchy(dir: &Path, keys: &dyn KeyStore, metadata: &Metadata, now: OffsetDateTime) -> Result<()> {
    let random = SystemRandom::new();
    let mut root = CaTemplate { role: CaRole::Root, metadata, now, serial: Serial::random(&random)? };
    let root_key = keys.create(CaRole::Root)?;
    let root_params = root.params(&root_key);
    let root_certificate = root_params.self_signed(&root_key)?;
    write_certificate(dir, CaRole::Root, root_certificate.der())?;
    let root_issuer = Issuer::new(root_params, root_key);
    for role in CaRole::INTERMEDIATES {
        root = CaTemplate { role, serial: Serial::random(&random)?, ..root };
        let key = keys.create(role)?;
        let certificate = root.params(&key).signed_by(&key, &root_issuer)?;
        write_certificate(dir, role, certificate.der())?;
    }
    Ok(())
}

/// What a certificate of the authority will say.
struct CaTemplate<'a> {
    role: CaRole,
    metadata: &'a Metadata,
    now: OffsetDateTime,
    serial: Serial,
}

impl CaTemplate<'_> {
    fn params(&self, key: &CaKey) -> CertificateParams {
        let (days, path_length) = match self.role {
            CaRole::Root => (ROOT_DAYS, 1),
            CaRole::Devices | CaRole::Clients | CaRole::Servers => (INTERMEDIATE_DAYS, 0),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject(key);
        params.serial_number = Some(self.serial.as_be_bytes().to_vec().into());
        params.not_before = self.now - BACKDATE;
        params.not_after = self.now + Duration::days(days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = self.role.extended_key_usages();
        params.use_authority_key_identifier_extension = self.role != CaRole::Root;
        params
    }

    /// The name has a part of the key's id in it, so that neither a rotation nor another authority of the same
    /// organisation gives two issuers one name.
    fn subject(&self, key: &CaKey) -> DistinguishedName {
        let key_id = KeyId::of_spki(&key.subject_public_key_info()).to_string();
        let short_id = key_id.get(..8).unwrap_or_default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, self.metadata.organisation.as_str());
        subject.push(DnType::CommonName, format!("{} {} {short_id}", self.metadata.organisation, self.role));
        subject
    }
}

fn checked_organisation(text: &str) -> Result<String> {
    let printable = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if printable && text.len() <= ORGANISATION_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Error::Organisation { bytes_max: ORGANISATION_BYTES_MAX })
}

fn write_certificate(dir: &Path, role: CaRole, der: &[u8]) -> Result<()> {
    let text = pem::encode(pem::CERTIFICATE, der);
    disk::write_new(&dir.join(role.certificate_file()), text.as_bytes(), disk::PUBLIC)
}

/// Reads a certificate of the authority and checks that it is one, and that its signer made it.
fn read_certificate(dir: &Path, role: CaRole, signer: Option<&CaCertificate>) -> Result<CaCertificate> {
    let path = dir.join(role.certificate_file());
    let text = disk::read(&path)?;
    let der = pem::decode(&text, &[pem::CERTIFICATE]).map_err(|reason| bad_file(path.clone(), reason))?;
    let certificate = CaCertificate::parse(&der, signer).map_err(|reason| bad_file(path, reason))?;
    Ok(certificate)
}

impl CaCertificate {
    fn parse(der: &[u8], signer: Option<&Self>) -> Result<Self, &'static str> {
        let (rest, x509) = x509_parser::parse_x509_certificate(der).map_err(|_| "this is not a certificate")?;
        if !rest.is_empty() {
            return Err("something follows the certificate");
        }
        if !x509.is_ca() {
            return Err("this certificate is not one of an authority");
        }
        let verified = match signer {
            None => x509.verify_signature(None),
            Some(signer) => {
                let (_, signer) =
                    x509_parser::parse_x509_certificate(&signer.der).map_err(|_| "its signer is not a certificate")?;
                x509.verify_signature(Some(signer.public_key()))
            }
        };
        verified.map_err(|_| "this certificate is not signed by the root")?;
        Ok(Self {
            der: der.to_vec().into(),
            key_id: KeyId::of_spki(x509.public_key().raw),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
        })
    }
}

fn bad_file(path: PathBuf, reason: impl fmt::Display) -> Error {
    Error::BadFile { path, reason: reason.to_string() }
}
