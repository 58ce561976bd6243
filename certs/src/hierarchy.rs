//! Making a new authority's root and intermediates.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use time::{Duration, UtcOffset};

use crate::authority::{CaOptions, CaRole, KEY_ID_DIGITS_SHOWN};
use crate::error::{Error, Result};
use crate::issue::BACKDATE;
use crate::keystore::{CaKey, KeyStore};
use crate::serial::{KeyId, Serial};

const ROOT_DAYS: i64 = 20 * 365;
const INTERMEDIATE_DAYS: i64 = 10 * 365;

/// RFC 5280, appendix A.1: a common name has at most 64 characters, and that of an intermediate is longer than the
/// organisation's by its role and key id.
const ORGANISATION_BYTES_MAX: usize = 40;
const _: () = assert!(ORGANISATION_BYTES_MAX + " devices ".len() + KEY_ID_DIGITS_SHOWN <= 64);

/// Makes the keys and certificates of a new authority, and hands each certificate to `save` once its key is kept.
pub(crate) fn make(
    options: &CaOptions,
    keys: &dyn KeyStore,
    mut save: impl FnMut(CaRole, &CertificateDer<'_>) -> Result<()>,
) -> Result<()> {
    check_organisation(&options.organisation)?;
    let random = SystemRandom::new();

    let root_key = keys.create(CaRole::Root.into())?;
    let root_params = params(options, CaRole::Root, &root_key, Serial::random(&random)?)?;
    save(CaRole::Root, root_params.self_signed(&root_key)?.der())?;
    let root = Issuer::new(root_params, root_key);

    for role in CaRole::INTERMEDIATES {
        let key = keys.create(role.into())?;
        save(role, &intermediate(options, role, &key, &root, &random)?)?;
    }
    Ok(())
}

/// Signs an intermediate.
pub(crate) fn intermediate(
    options: &CaOptions,
    role: CaRole,
    key: &CaKey,
    root: &Issuer<'_, CaKey>,
    random: &SystemRandom,
) -> Result<CertificateDer<'static>> {
    let params = params(options, role, key, Serial::random(random)?)?;
    Ok(params.signed_by(key, root)?.into())
}

/// What an intermediate asks somebody else's authority for, signed with its key: DER.
pub(crate) fn request(options: &CaOptions, role: CaRole, key: &CaKey) -> Result<Vec<u8>> {
    let serial = Serial::random(&SystemRandom::new())?;
    let mut params = params(options, role, key, serial)?;
    // These two are the signer's to set.
    params.serial_number = None;
    params.use_authority_key_identifier_extension = false;
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// What a certificate of the authority says.
fn params(options: &CaOptions, role: CaRole, key: &CaKey, serial: Serial) -> Result<CertificateParams> {
    let (days, path_length) = match role {
        CaRole::Root => (ROOT_DAYS, 1),
        CaRole::Devices | CaRole::Clients | CaRole::Servers => (INTERMEDIATE_DAYS, 0),
    };
    let now = options.now.to_offset(UtcOffset::UTC);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&options.organisation, role, key);
    params.serial_number = Some(serial.as_be_bytes().to_vec().into());
    params.not_before = now.saturating_sub(BACKDATE);
    params.not_after = now.saturating_add(Duration::days(days));
    // X509-SVID, 3.2: the certificate of an authority names its trust domain, and nothing in it.
    params.subject_alt_names = vec![SanType::URI(options.trust_domain.to_uri().try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = role.extended_key_usages();
    params.use_authority_key_identifier_extension = role != CaRole::Root;
    Ok(params)
}

/// The name has a part of the key's id in it, so that neither a rotation nor a second authority of the same
/// organisation gives two issuers one name.
fn subject(organisation: &str, role: CaRole, key: &CaKey) -> DistinguishedName {
    let key_id = KeyId::of_spki(&key.subject_public_key_info()).to_string();
    let shown = key_id.get(..KEY_ID_DIGITS_SHOWN).unwrap_or_default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organisation);
    subject.push(DnType::CommonName, format!("{organisation} {role} {shown}"));
    subject
}

pub(crate) fn check_organisation(text: &str) -> Result<()> {
    let printable = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if printable && text.len() <= ORGANISATION_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Organisation { bytes_max: ORGANISATION_BYTES_MAX })
}
