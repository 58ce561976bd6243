//! An authority below somebody else's root: our intermediates' keys are made here, and a company's authority signs them.

use std::path::{Path, PathBuf};

use rcgen::PublicKeyData as _;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::X509Certificate;

use crate::authority::{CaOptions, CaRole, Metadata, Presence, parse_x509};
use crate::disk;
use crate::error::{Error, Result};
use crate::hierarchy;
use crate::keystore::{CaKey, KeyName, KeyStore};
use crate::pem;
use crate::rotate::AuthorityFiles;

/// What `ca.toml` will say, until the last chain is here.
pub(crate) const PENDING_FILE: &str = "external.toml";
/// Certificates between an intermediate and the root, both of them counted.
const PATH_MAX: usize = 5;

/// A chain that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedChain {
    /// Which intermediate it is of: the name of its files, without their ends.
    pub name: String,
    /// The roles whose chains are still missing; without any, the authority is whole.
    pub missing: Vec<CaRole>,
}

impl AuthorityFiles {
    /// Makes the keys of the three intermediates and a signing request for each, in a directory that holds no authority. Gives the requests' files.
    pub fn init_external(&self, options: &CaOptions) -> Result<Vec<PathBuf>> {
        match Presence::of(self.dir(), self.keys())? {
            Presence::Nothing => {}
            Presence::Whole => return Err(Error::Exists(self.dir().to_owned())),
            Presence::Part(error) => return Err(error),
        }
        hierarchy::check_organisation(&options.organisation)?;
        disk::create_dir(self.dir())?;
        let requests = CaRole::INTERMEDIATES.map(|role| self.make_request(role.into(), options));
        let requests = requests.into_iter().collect::<Result<_>>()?;
        Metadata::external(options).write_to(&self.dir().join(PENDING_FILE))?;
        Ok(requests)
    }

    /// Makes a key and its signing request.
    pub(crate) fn make_request(&self, name: KeyName, options: &CaOptions) -> Result<PathBuf> {
        let key = self.keys().create(name)?;
        let request = pem::encode(pem::CERTIFICATE_REQUEST, &hierarchy::request(options, name.role, &key)?);
        let path = self.dir().join(format!("{name}.csr"));
        disk::write_new(&path, request.as_bytes(), disk::PUBLIC)?;
        Ok(path)
    }

    /// Takes over the certificate of an intermediate whose key waits for it, with the certificates up to the root, in any order. The file says by
    /// its key which intermediate it is of.
    ///
    /// # Errors
    /// [`Error::Chain`] says what is wrong with it: no key of ours, a path that does not lead to a root, something that is no authority, a key
    /// usage that does not sign, another root than that of the others. Nothing has changed then.
    pub fn import_chain(&self, text: &str, now: OffsetDateTime) -> Result<ImportedChain> {
        let pending_file = self.dir().join(PENDING_FILE);
        let is_pending = disk::exists(&pending_file)?;
        let mut metadata =
            Metadata::read_from(&if is_pending { pending_file.clone() } else { Metadata::file(self.dir()) })?;
        if !metadata.is_external() {
            return Err(chain("this authority has a root of its own: nobody else signs its intermediates"));
        }
        let ders = pem::decode_all(text).map_err(chain)?;
        let (name, leaf) = self.find_key(&metadata, &ders)?;
        let root_file = self.dir().join(KeyName::from(CaRole::Root).certificate_file());
        let known_root = if disk::exists(&root_file)? { Some(read_root(&root_file)?) } else { None };
        let path = SignedPath::build(leaf, &ders, known_root.as_deref(), name.role, now)?;

        if known_root.is_none() {
            disk::write_new(&root_file, pem::encode(pem::CERTIFICATE, path.root).as_bytes(), disk::PUBLIC)?;
        }
        let blocks: String = path.below_root.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
        disk::write_new(&self.dir().join(name.certificate_file()), blocks.as_bytes(), disk::PUBLIC)?;
        if is_pending {
            let missing = self.missing()?;
            if missing.is_empty() {
                metadata.write_to(&Metadata::file(self.dir()))?;
                disk::remove(&pending_file)?;
            }
            return Ok(ImportedChain { name: name.to_string(), missing });
        }
        metadata.add_generation(name);
        metadata.write_to(&Metadata::file(self.dir()))?;
        Ok(ImportedChain { name: name.to_string(), missing: Vec::new() })
    }

    fn missing(&self) -> Result<Vec<CaRole>> {
        let mut missing = Vec::new();
        for role in CaRole::INTERMEDIATES {
            if !disk::exists(&self.dir().join(KeyName::from(role).certificate_file()))? {
                missing.push(role);
            }
        }
        Ok(missing)
    }

    /// The key that waits for one of these certificates.
    fn find_key<'a>(&self, metadata: &Metadata, ders: &'a [Vec<u8>]) -> Result<(KeyName, &'a [u8])> {
        let generations = 1..=metadata.newest_generation().saturating_add(GENERATIONS_AHEAD);
        let names = CaRole::INTERMEDIATES
            .into_iter()
            .flat_map(|role| generations.clone().map(move |generation| KeyName { role, generation }));
        for name in names {
            if !self.keys().holds(name)? || disk::exists(&self.dir().join(name.certificate_file()))? {
                continue;
            }
            let key: CaKey = self.keys().open(name)?;
            let spki = key.subject_public_key_info();
            for der in ders {
                if parse_x509(der).map_err(chain)?.public_key().raw == spki {
                    return Ok((name, der));
                }
            }
        }
        Err(chain("none of its certificates is for a key that waits for one"))
    }
}

/// How many keys beyond the newest in use are looked for: requests that were made and never signed.
const GENERATIONS_AHEAD: u32 = 16;

/// A chain that was checked: from our intermediate up to, and without, the root.
struct SignedPath<'a> {
    below_root: Vec<&'a [u8]>,
    root: &'a [u8],
}

impl<'a> SignedPath<'a> {
    fn build(
        leaf: &'a [u8],
        ders: &'a [Vec<u8>],
        known_root: Option<&'a [u8]>,
        role: CaRole,
        now: OffsetDateTime,
    ) -> Result<Self> {
        let mut below_root = vec![leaf];
        check_intermediate(&parse_x509(leaf).map_err(chain)?, role)?;
        loop {
            let current = parse_x509(below_root.last().copied().unwrap_or(leaf)).map_err(chain)?;
            let below = u32::try_from(below_root.len().saturating_sub(1)).unwrap_or(u32::MAX);
            check_authority(&current, below, now)?;
            let candidates = ders.iter().map(Vec::as_slice).chain(known_root);
            let signer = candidates.into_iter().find(|der| signs(der, &current)).ok_or_else(|| {
                chain(format!("nobody in it signed {}: it lacks {}", current.subject(), current.issuer()))
            })?;
            let x509 = parse_x509(signer).map_err(chain)?;
            if x509.subject().as_raw() == x509.issuer().as_raw() && x509.verify_signature(None).is_ok() {
                check_authority(&x509, below.saturating_add(1), now)?;
                if known_root.is_some_and(|root| root != signer) {
                    return Err(chain(format!("it leads to another root than the others: {}", x509.subject())));
                }
                return Ok(Self { below_root, root: signer });
            }
            if below_root.len() >= PATH_MAX {
                return Err(chain(format!("it has more than {PATH_MAX} certificates below a root")));
            }
            below_root.push(signer);
        }
    }
}

fn signs(signer: &[u8], of: &X509Certificate<'_>) -> bool {
    parse_x509(signer).is_ok_and(|signer| {
        signer.subject().as_raw() == of.issuer().as_raw() && of.verify_signature(Some(signer.public_key())).is_ok()
    })
}

/// RFC 5280, 6.1.4: what path validation demands of an issuer. `below` counts the authorities under it.
fn check_authority(x509: &X509Certificate<'_>, below: u32, now: OffsetDateTime) -> Result<()> {
    let wrong = |what: String| Err(chain(format!("{}: {what}", x509.subject())));
    let constraints = x509.basic_constraints().map_err(|error| chain(error.to_string()))?;
    let Some(constraints) = constraints.filter(|constraints| constraints.value.ca) else {
        return wrong("its basic constraints do not say CA:TRUE".to_owned());
    };
    if constraints.value.path_len_constraint.is_some_and(|most| most < below) {
        return wrong(format!("its path length allows fewer than {below} authorities below it"));
    }
    match x509.key_usage().map_err(|error| chain(error.to_string()))? {
        Some(usage) if usage.value.key_cert_sign() => {}
        _ => return wrong("its key usage does not include keyCertSign".to_owned()),
    }
    if !x509.validity().is_valid_at(x509_parser::time::ASN1Time::from(now)) {
        return wrong("it is not valid at this time".to_owned());
    }
    Ok(())
}

/// What our intermediates need besides.
fn check_intermediate(x509: &X509Certificate<'_>, role: CaRole) -> Result<()> {
    let wrong = |what: &str| Err(chain(format!("{}: {what}", x509.subject())));
    let usage = x509.key_usage().map_err(|error| chain(error.to_string()))?;
    if !usage.is_some_and(|usage| usage.value.crl_sign()) {
        return wrong("its key usage does not include cRLSign: nobody could read what is revoked");
    }
    let extended = x509.extended_key_usage().map_err(|error| chain(error.to_string()))?;
    let fits = extended.is_none_or(|usage| {
        usage.value.any || if role == CaRole::Servers { usage.value.server_auth } else { usage.value.client_auth }
    });
    if !fits {
        return wrong("its extended key usage does not include what its leaves are for");
    }
    Ok(())
}

fn read_root(path: &Path) -> Result<Vec<u8>> {
    let text = disk::read(path)?;
    let der = pem::decode(&text, &[pem::CERTIFICATE])
        .map_err(|reason| Error::BadFile { path: path.to_owned(), reason: reason.to_owned() })?;
    Ok(der.to_vec())
}

fn chain(what: impl Into<String>) -> Error {
    Error::Chain(what.into())
}

/// The certificates of a file, the first first.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    Ok(pem::decode_all(text)?.into_iter().map(Into::into).collect())
}
