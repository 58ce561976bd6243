//! What an operator does with an authority now and then: rotate an intermediate, take the root's key away and bring it back, encrypt the keys.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, PublicKeyData as _};
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::authority::{CaCertificate, CaRole, Metadata, write_certificate};
use crate::disk;
use crate::error::{Error, Result};
use crate::hierarchy;
use crate::keystore::{CaKey, FileKeyStore, KeyName, KeyStore};
use crate::serial::KeyId;

/// The files of an authority, for what a running one does not do. A server that runs sees the changes at its next start.
#[derive(Debug)]
pub struct AuthorityFiles {
    dir: PathBuf,
    keys: FileKeyStore,
}

/// A certificate of the authority with its key, as `mooring ca status` shows it.
#[derive(Debug, Clone)]
pub struct FileStatus {
    /// Whose.
    pub role: CaRole,
    /// The name of its files, without their ends.
    pub name: String,
    /// Whether it signs; of a role, the others are trusted until they end.
    pub is_current: bool,
    /// Its key identifier.
    pub key_id: KeyId,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// Whether the key is there, and encrypted.
    pub key: KeyStatus,
}

/// What a rotation made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// An intermediate with this key.
    Signed(KeyId),
    /// A request in this file, for somebody else's authority.
    Request(PathBuf),
}

/// How a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Not here.
    Away,
    /// Anybody who reads the file has it.
    Plain,
    /// Nobody has it without the secret.
    Encrypted,
}

impl AuthorityFiles {
    /// Those of this directory, with keys that this store opens.
    pub fn new(dir: &Path, keys: FileKeyStore) -> Self {
        Self { dir: dir.to_owned(), keys }
    }

    /// The root, and every intermediate in use.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let metadata = Metadata::read(&self.dir)?;
        let root = CaCertificate::read(&self.dir, CaRole::Root.into(), None, &metadata)?;
        let mut certificates = vec![root.der.clone()];
        for name in CaRole::INTERMEDIATES.into_iter().flat_map(|role| metadata.names(role)) {
            certificates.push(CaCertificate::read(&self.dir, name, Some(&root), &metadata)?.der);
        }
        Ok(certificates)
    }

    /// What there is. No key is opened for it.
    pub fn status(&self) -> Result<Vec<FileStatus>> {
        let metadata = Metadata::read(&self.dir)?;
        let root = CaCertificate::read(&self.dir, CaRole::Root.into(), None, &metadata)?;
        let mut status = vec![self.status_of(CaRole::Root.into(), &root, true)?];
        for role in CaRole::INTERMEDIATES {
            for (age, name) in metadata.names(role).into_iter().rev().enumerate() {
                let certificate = CaCertificate::read(&self.dir, name, Some(&root), &metadata)?;
                status.push(self.status_of(name, &certificate, age == 0)?);
            }
        }
        Ok(status)
    }

    fn status_of(&self, name: KeyName, certificate: &CaCertificate, is_current: bool) -> Result<FileStatus> {
        let key = match self.keys.holds(name)? {
            false => KeyStatus::Away,
            true if self.keys.is_encrypted(name)? => KeyStatus::Encrypted,
            true => KeyStatus::Plain,
        };
        let (key_id, not_after) = (certificate.key_id, certificate.not_after);
        Ok(FileStatus { role: name.role, name: name.to_string(), is_current, key_id, not_after, key })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn keys(&self) -> &FileKeyStore {
        &self.keys
    }

    /// Makes a new intermediate, which signs once the server has read its files again. Those before it are trusted until they end; ended ones are
    /// left out. Below somebody else's root, it makes a key and a request, and [`AuthorityFiles::import_chain`] does the rest.
    ///
    /// # Errors
    /// [`Error::RootKeyAway`]. A rotation that is interrupted has not happened.
    pub fn rotate(&self, role: CaRole, now: OffsetDateTime) -> Result<Rotation> {
        let mut metadata = Metadata::read(&self.dir)?;
        if metadata.is_external() {
            let newest = metadata.names(role).iter().map(|name| name.generation).max().unwrap_or(1);
            let name = self.free_name(role, newest)?;
            return Ok(Rotation::Request(self.make_request(name, &metadata.options(now))?));
        }
        let root = CaCertificate::read(&self.dir, CaRole::Root.into(), None, &metadata)?;
        let root_issuer = Issuer::from_ca_cert_der(&root.der, self.root_key(&root)?)?;

        let mut names = metadata.names(role);
        let name = self.free_name(role, names.iter().map(|name| name.generation).max().unwrap_or(1))?;
        let key = self.keys.create(name)?;
        let der = hierarchy::intermediate(&metadata.options(now), role, &key, &root_issuer, &SystemRandom::new())?;
        write_certificate(&self.dir, name, &der)?;
        let made = CaCertificate::read(&self.dir, name, Some(&root), &metadata)?;

        let mut ended = Vec::new();
        for name in &names {
            if CaCertificate::read(&self.dir, *name, Some(&root), &metadata)?.not_after <= now {
                ended.push(*name);
            }
        }
        names.retain(|name| !ended.contains(name));
        names.push(name);
        let generations = names.into_iter().map(|name| name.generation).collect();
        metadata.generations.insert(role.name().to_owned(), generations);
        metadata.write(&self.dir)?;
        Ok(Rotation::Signed(made.key_id))
    }

    /// What an interrupted rotation left is passed over.
    fn free_name(&self, role: CaRole, after: u32) -> Result<KeyName> {
        let mut name = KeyName { role, generation: after };
        loop {
            name.generation = name.generation.saturating_add(1);
            if !self.keys.holds(name)? && !disk::exists(&self.dir.join(name.certificate_file()))? {
                return Ok(name);
            }
        }
    }

    fn root_key(&self, root: &CaCertificate) -> Result<CaKey> {
        let name = KeyName::from(CaRole::Root);
        if !self.keys.holds(name)? {
            return Err(Error::RootKeyAway(self.dir.clone()));
        }
        let key = self.keys.open(name)?;
        check_key(&key, root, &self.dir.join(name.key_file()))?;
        Ok(key)
    }

    /// Copies the root's key to a file, as it is kept, and with `remove` takes it away from here: signing goes on without it, rotation does not.
    pub fn export_root_key(&self, to: &Path, remove: bool) -> Result<()> {
        let name = KeyName::from(CaRole::Root);
        if !self.keys.holds(name)? {
            return Err(Error::RootKeyAway(self.dir.clone()));
        }
        let text = self.keys.read_file(name)?;
        disk::write_new(to, text.as_bytes(), disk::PRIVATE)?;
        if remove {
            // The copy has to be good before it is the only one.
            if *disk::read_private(to)? != *text {
                let reason = "the copy differs from the key: nothing was removed".to_owned();
                return Err(Error::BadFile { path: to.to_owned(), reason });
            }
            self.keys.remove(name)?;
        }
        Ok(())
    }

    /// Brings the root's key back, when it is the root's.
    pub fn import_root_key(&self, from: &Path) -> Result<()> {
        let metadata = Metadata::read(&self.dir)?;
        let root = CaCertificate::read(&self.dir, CaRole::Root.into(), None, &metadata)?;
        let text = disk::read_private(from)?;
        let key = CaKey::new(self.keys.read_text(from, &text)?);
        check_key(&key, &root, from)?;
        self.keys.write_file(CaRole::Root.into(), &text)
    }

    /// Encrypts every key that is here and is not; gives the names of those that it did.
    pub fn encrypt(&self) -> Result<Vec<String>> {
        let metadata = Metadata::read(&self.dir)?;
        let mut encrypted = Vec::new();
        for name in std::iter::once(CaRole::Root).chain(CaRole::INTERMEDIATES).flat_map(|role| metadata.names(role)) {
            if self.keys.holds(name)? && self.keys.encrypt(name)? {
                encrypted.push(name.to_string());
            }
        }
        Ok(encrypted)
    }
}

fn check_key(key: &CaKey, certificate: &CaCertificate, path: &Path) -> Result<()> {
    if key.subject_public_key_info() == certificate.spki {
        return Ok(());
    }
    Err(Error::BadFile { path: path.to_owned(), reason: "this is not the key of the root's certificate".to_owned() })
}
