//! The authority: one root, three intermediates, and the directory that they live in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{ExtendedKeyUsagePurpose, Issuer, PublicKeyData};
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use crate::disk;
use crate::error::{Error, Result};
use crate::external::{PENDING_FILE, certificates};
use crate::hierarchy;
use crate::ids::{SpiffeKind, TrustDomain};
use crate::keystore::{CaKey, FileKeyStore, KeyName, KeyStore};
use crate::pem;
use crate::serial::KeyId;

/// Written last: where it is, the authority is whole.
const METADATA_FILE: &str = "ca.toml";
const METADATA_FORMAT: u32 = 1;
/// How much of a key identifier is in names: in those of the intermediates, their files and URLs.
pub(crate) const KEY_ID_DIGITS_SHOWN: usize = 8;

/// A certificate authority that is ready to issue. The root's key is not held: only making intermediates needs it.
#[derive(Debug)]
pub struct Authority {
    metadata: Metadata,
    root: CaCertificate,
    devices: Generations,
    clients: Generations,
    servers: Generations,
    /// Where others find lists, OCSP and issuers: in every leaf, when it is known.
    public_url: Option<String>,
    pub(crate) random: SystemRandom,
}

/// What a new authority is for.
#[derive(Debug, Clone)]
pub struct CaOptions {
    /// The trust domain of every id that it will give.
    pub trust_domain: TrustDomain,
    /// Whose it is, for people to read; in the subject of the root and the intermediates. At most 40 bytes.
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

/// A certificate of the authority, and what is needed of it often.
#[derive(Debug)]
pub(crate) struct CaCertificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_id: KeyId,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    /// The subject's name, in DER.
    pub(crate) subject: Vec<u8>,
    /// The bits of the public key.
    pub(crate) public_key: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// What is between it and the root, its signer first: only below somebody else's root.
    pub(crate) path: Vec<CertificateDer<'static>>,
}

/// An intermediate with its key.
#[derive(Debug)]
pub(crate) struct Intermediate {
    pub(crate) certificate: CaCertificate,
    pub(crate) issuer: Issuer<'static, CaKey>,
}

/// The intermediates of a role: one signs, and those from before a rotation are trusted until they end.
#[derive(Debug)]
struct Generations {
    current: Intermediate,
    previous: Vec<Intermediate>,
}

/// What `ca.toml` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    format: u32,
    trust_domain: TrustDomain,
    organisation: String,
    /// Whether somebody else's root signed the intermediates: their certificates need not name the trust domain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    external: bool,
    /// The generations in use of a role, the one that signs last; without an entry, the first alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) generations: BTreeMap<String, Vec<u32>>,
}

impl Authority {
    /// Makes a new authority in a directory that holds none, with its keys in files there.
    ///
    /// Two processes must not do this at once in one directory: the lock on the data directory sees to that.
    pub fn create(dir: &Path, options: &CaOptions) -> Result<Self> {
        Self::create_with(dir, &FileKeyStore::new(dir.to_owned()), options)
    }

    /// Makes a new authority with its keys in a store of the caller's choice.
    pub fn create_with(dir: &Path, keys: &dyn KeyStore, options: &CaOptions) -> Result<Self> {
        match Presence::of(dir, keys)? {
            Presence::Nothing => {}
            Presence::Whole => return Err(Error::Exists(dir.to_owned())),
            Presence::Part(error) => return Err(error),
        }
        disk::create_dir(dir)?;
        hierarchy::make(options, keys, |role, der| write_certificate(dir, role.into(), der))?;
        Metadata::of(options).write(dir)?;
        Self::open_with(dir, keys)
    }

    /// Opens the authority of a directory.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, &FileKeyStore::new(dir.to_owned()))
    }

    /// Opens the authority of a directory with its keys in a store of the caller's choice.
    pub fn open_with(dir: &Path, keys: &dyn KeyStore) -> Result<Self> {
        match Presence::of(dir, keys)? {
            Presence::Whole => {}
            Presence::Nothing => return Err(Error::NotFound(dir.to_owned())),
            Presence::Part(error) => return Err(error),
        }
        let metadata = Metadata::read(dir)?;
        let root = CaCertificate::read(dir, CaRole::Root.into(), None, &metadata)?;
        let open = |role| Generations::open(dir, keys, role, &root, &metadata);
        let (devices, clients, servers) = (open(CaRole::Devices)?, open(CaRole::Clients)?, open(CaRole::Servers)?);
        Ok(Self { metadata, root, devices, clients, servers, public_url: None, random: SystemRandom::new() })
    }

    /// Opens the authority of a directory, or makes it; the flag is true when it is new.
    pub fn open_or_create(dir: &Path, options: &CaOptions) -> Result<(Self, bool)> {
        Self::open_or_create_with(dir, &FileKeyStore::new(dir.to_owned()), options)
    }

    /// The same with its keys in a store of the caller's choice.
    pub fn open_or_create_with(dir: &Path, keys: &dyn KeyStore, options: &CaOptions) -> Result<(Self, bool)> {
        match Self::open_with(dir, keys) {
            Err(Error::NotFound(_)) => Ok((Self::create_with(dir, keys, options)?, true)),
            other => Ok((other?, false)),
        }
    }

    /// Every certificate of a role in use: the one that signs first, then those from before a rotation.
    pub fn certificates_of(&self, role: CaRole) -> Vec<CertificateDer<'static>> {
        match role {
            CaRole::Root => vec![self.root.der.clone()],
            CaRole::Devices | CaRole::Clients | CaRole::Servers => self
                .intermediates()
                .filter(|(of, _)| *of == role)
                .map(|(_, intermediate)| intermediate.certificate.der.clone())
                .collect(),
        }
    }

    /// Names in every leaf from now on where others can ask about it: below this URL are `.well-known/crl/`, `.well-known/ca/` and `ocsp`.
    pub fn set_public_url(&mut self, url: &str) {
        self.public_url = Some(url.trim_end_matches('/').to_owned());
    }

    pub(crate) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// The key of the intermediate that a file name means: `devices` for the one that signs now, `devices-1a2b3c4d` for the one with this key.
    pub fn issuer_of_label(&self, label: &str) -> Option<KeyId> {
        let named = self.intermediates().find(|(role, intermediate)| {
            let key_id = intermediate.certificate.key_id;
            label == role.name() || label == role.label(key_id)
        });
        named.map(|(_, intermediate)| intermediate.certificate.key_id)
    }

    /// The trust domain of every id that this authority gives.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.metadata.trust_domain
    }

    /// Whose authority it is.
    pub fn organisation(&self) -> &str {
        &self.metadata.organisation
    }

    /// A certificate of the authority: the root for those who verify whole chains, an intermediate as the trust
    /// anchor of one kind of peer.
    pub fn certificate(&self, role: CaRole) -> &CertificateDer<'static> {
        &self.ca_certificate(role).der
    }

    /// The key identifier of a certificate of the authority: the `issuer_id` of what it signs.
    pub fn key_id(&self, role: CaRole) -> KeyId {
        self.ca_certificate(role).key_id
    }

    /// The start and the end of a certificate of the authority: who takes an intermediate as an anchor checks them.
    pub fn validity(&self, role: CaRole) -> (OffsetDateTime, OffsetDateTime) {
        let certificate = self.ca_certificate(role);
        (certificate.not_before, certificate.not_after)
    }

    /// The root in PEM: what a device, a browser or `curl --cacert` has to trust.
    pub fn root_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.root.der)
    }

    /// The root and the intermediates in PEM: for software that wants the whole authority in one file.
    pub fn bundle_pem(&self) -> String {
        self.certificates().iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect()
    }

    /// The root, then every intermediate, then what is between them and somebody else's root.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let intermediates = || self.intermediates().map(|(_, intermediate)| &intermediate.certificate);
        let ours = intermediates().map(|certificate| certificate.der.clone());
        let mut all: Vec<_> = std::iter::once(self.root.der.clone()).chain(ours).collect();
        for above in intermediates().flat_map(|certificate| &certificate.path) {
            if !all.contains(above) {
                all.push(above.clone());
            }
        }
        all
    }

    /// The key identifier of every intermediate that signs, with its role.
    pub fn issuers(&self) -> Vec<(CaRole, KeyId)> {
        self.intermediates().map(|(role, intermediate)| (role, intermediate.certificate.key_id)).collect()
    }

    /// The certificate of the intermediate with this key.
    pub fn issuer_certificate(&self, key_id: KeyId) -> Option<&CertificateDer<'static>> {
        self.intermediate_of_key(key_id).map(|(_, intermediate)| &intermediate.certificate.der)
    }

    /// The intermediate that signs a kind of peer.
    pub(crate) fn intermediate(&self, kind: &SpiffeKind) -> &Intermediate {
        match kind {
            SpiffeKind::Device(_) => &self.devices.current,
            SpiffeKind::Client(_) => &self.clients.current,
            SpiffeKind::Server(_) => &self.servers.current,
        }
    }

    /// Every intermediate that signs, with its role.
    pub(crate) fn intermediates(&self) -> impl Iterator<Item = (CaRole, &Intermediate)> {
        let roles =
            [(CaRole::Devices, &self.devices), (CaRole::Clients, &self.clients), (CaRole::Servers, &self.servers)];
        roles.into_iter().flat_map(|(role, generations)| {
            std::iter::once(&generations.current).chain(&generations.previous).map(move |one| (role, one))
        })
    }

    pub(crate) fn intermediate_of_key(&self, key_id: KeyId) -> Option<(CaRole, &Intermediate)> {
        self.intermediates().find(|(_, intermediate)| intermediate.certificate.key_id == key_id)
    }

    fn ca_certificate(&self, role: CaRole) -> &CaCertificate {
        match role {
            CaRole::Root => &self.root,
            CaRole::Devices => &self.devices.current.certificate,
            CaRole::Clients => &self.clients.current.certificate,
            CaRole::Servers => &self.servers.current.certificate,
        }
    }
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

    /// The name of the intermediate of this role with this key, in file names and URLs.
    pub fn label(self, key_id: KeyId) -> String {
        let digits = key_id.to_string();
        format!("{self}-{}", digits.get(..KEY_ID_DIGITS_SHOWN).unwrap_or_default())
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

impl Generations {
    fn open(dir: &Path, keys: &dyn KeyStore, role: CaRole, root: &CaCertificate, ca: &Metadata) -> Result<Self> {
        let open = |name| Intermediate::open(dir, keys, name, root, ca);
        let mut names = ca.names(role).into_iter().rev();
        let current = open(names.next().unwrap_or(role.into()))?;
        Ok(Self { current, previous: names.map(open).collect::<Result<_>>()? })
    }
}

impl Intermediate {
    fn open(dir: &Path, keys: &dyn KeyStore, name: KeyName, root: &CaCertificate, ca: &Metadata) -> Result<Self> {
        let certificate = CaCertificate::read(dir, name, Some(root), ca)?;
        let key = keys.open(name)?;
        if key.subject_public_key_info() != certificate.spki {
            let reason = format!("this certificate is not for the private key of {name}");
            return Err(Error::BadFile { path: dir.join(name.certificate_file()), reason });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key)?;
        Ok(Self { certificate, issuer })
    }
}

impl CaCertificate {
    /// Reads a certificate of the authority and checks that it is one, and that its signer, or itself, signed it.
    pub(crate) fn read(dir: &Path, name: KeyName, signer: Option<&Self>, ca: &Metadata) -> Result<Self> {
        let path = dir.join(name.certificate_file());
        let text = disk::read(&path)?;
        let mut ders = certificates(&text).map_err(|reason| bad_file(path.clone(), reason))?.into_iter();
        let der = ders.next().ok_or_else(|| bad_file(path.clone(), "there is no certificate in it"))?;
        Self::parse(&der, ders.collect(), signer, ca).map_err(|reason| bad_file(path, reason))
    }

    fn parse(
        der: &[u8],
        path: Vec<CertificateDer<'static>>,
        signer: Option<&Self>,
        ca: &Metadata,
    ) -> Result<Self, String> {
        let x509 = parse_x509(der)?;
        if !x509.is_ca() {
            return Err("this is not the certificate of an authority".to_owned());
        }
        match signer {
            None => x509.verify_signature(None).map_err(|_| "this certificate is not signed by itself")?,
            Some(root) => {
                let mut signed = parse_x509(der)?;
                for above in path.iter().chain([&root.der]) {
                    let above = parse_x509(above)?;
                    signed
                        .verify_signature(Some(above.public_key()))
                        .map_err(|_| "this certificate is not signed by the root")?;
                    signed = above;
                }
            }
        }
        let is_root = signer.is_none();
        let key_id = match subject_key_id(&x509) {
            Some(key_id) => key_id,
            // Somebody else's root names itself as it likes: nothing of ours is found by its identifier.
            None if is_root && ca.external => KeyId::of_spki(x509.public_key().raw),
            None => return Err("this certificate has no subject key identifier of 20 octets".to_owned()),
        };
        if !ca.external {
            check_trust_domain(&x509, &ca.trust_domain)?;
        }
        Ok(Self {
            der: der.to_vec().into(),
            key_id,
            path,
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            subject: x509.subject().as_raw().to_vec(),
            public_key: x509.public_key().subject_public_key.data.to_vec(),
            spki: x509.public_key().raw.to_vec(),
        })
    }
}

impl Metadata {
    fn of(options: &CaOptions) -> Self {
        Self {
            format: METADATA_FORMAT,
            trust_domain: options.trust_domain.clone(),
            organisation: options.organisation.clone(),
            external: false,
            generations: BTreeMap::new(),
        }
    }

    /// For an authority below somebody else's root.
    pub(crate) fn external(options: &CaOptions) -> Self {
        Self { external: true, ..Self::of(options) }
    }

    pub(crate) fn is_external(&self) -> bool {
        self.external
    }

    pub(crate) fn file(dir: &Path) -> PathBuf {
        dir.join(METADATA_FILE)
    }

    /// The highest number of a generation in use.
    pub(crate) fn newest_generation(&self) -> u32 {
        self.generations.values().flatten().copied().max().unwrap_or(1)
    }

    /// Has another generation of a role sign from now on.
    pub(crate) fn add_generation(&mut self, name: KeyName) {
        let mut generations: Vec<u32> = self.names(name.role).into_iter().map(|name| name.generation).collect();
        generations.push(name.generation);
        self.generations.insert(name.role.name().to_owned(), generations);
    }

    /// For a further certificate of this authority.
    pub(crate) fn options(&self, now: OffsetDateTime) -> CaOptions {
        CaOptions { trust_domain: self.trust_domain.clone(), organisation: self.organisation.clone(), now }
    }

    /// The generations of a role in use, the one that signs last.
    pub(crate) fn names(&self, role: CaRole) -> Vec<KeyName> {
        let first = [1];
        let generations = self.generations.get(role.name()).map_or(&first[..], Vec::as_slice);
        generations.iter().map(|generation| KeyName { role, generation: *generation }).collect()
    }

    /// Writes it in the place of the one before: the moment from which a rotation is in force.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        self.write_to(&Self::file(dir))
    }

    pub(crate) fn write_to(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| bad_file(path.to_owned(), error))?;
        disk::replace(path, text.as_bytes(), disk::PUBLIC)
    }

    pub(crate) fn read(dir: &Path) -> Result<Self> {
        Self::read_from(&Self::file(dir))
    }

    pub(crate) fn read_from(path: &Path) -> Result<Self> {
        let metadata: Self = toml::from_str(&disk::read(path)?).map_err(|error| bad_file(path.to_owned(), error))?;
        if metadata.format != METADATA_FORMAT {
            return Err(bad_file(path.to_owned(), format!("format {} is not known to this version", metadata.format)));
        }
        Ok(metadata)
    }
}

/// How much of an authority a directory holds.
pub(crate) enum Presence {
    Nothing,
    Whole,
    /// Neither; the error says so.
    Part(Error),
}

impl Presence {
    pub(crate) fn of(dir: &Path, keys: &dyn KeyStore) -> Result<Self> {
        if disk::exists(&dir.join(PENDING_FILE))? {
            return Ok(Self::Part(Error::AwaitsChains(dir.to_owned())));
        }
        let mut found = Vec::new();
        let mut missing = Vec::new();
        let mut note = |file: String, there: bool| if there { found.push(file) } else { missing.push(file) };
        for role in [CaRole::Root].into_iter().chain(CaRole::INTERMEDIATES) {
            let name = KeyName::from(role);
            let key_there = keys.holds(name)?;
            // The root's key may be off the machine.
            if key_there || role != CaRole::Root {
                note(name.key_file(), key_there);
            }
            note(name.certificate_file(), disk::exists(&dir.join(name.certificate_file()))?);
        }
        note(METADATA_FILE.to_owned(), disk::exists(&dir.join(METADATA_FILE))?);
        Ok(match (found.is_empty(), missing.is_empty()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Whole,
            (false, false) => Self::Part(Error::HalfMade {
                dir: dir.to_owned(),
                found: found.join(", "),
                missing: missing.join(", "),
            }),
        })
    }
}

pub(crate) fn write_certificate(dir: &Path, name: KeyName, der: &CertificateDer<'_>) -> Result<()> {
    let text = pem::encode(pem::CERTIFICATE, der);
    disk::write_new(&dir.join(name.certificate_file()), text.as_bytes(), disk::PUBLIC)
}

pub(crate) fn parse_x509(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        _ => Err("this is not a certificate".to_owned()),
    }
}

fn subject_key_id(x509: &X509Certificate<'_>) -> Option<KeyId> {
    x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => id.0.try_into().ok().map(KeyId),
        _ => None,
    })
}

/// An edited `ca.toml` would give devices that are out there another identity.
fn check_trust_domain(x509: &X509Certificate<'_>, trust_domain: &TrustDomain) -> Result<(), String> {
    let expected = trust_domain.to_uri();
    let names = x509.subject_alternative_name().ok().flatten();
    let named = names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(uri) if *uri == expected))
    });
    if named {
        return Ok(());
    }
    Err(format!("this certificate is not of the trust domain {trust_domain} that {METADATA_FILE} names"))
}

fn bad_file(path: PathBuf, reason: impl fmt::Display) -> Error {
    Error::BadFile { path, reason: reason.to_string() }
}
