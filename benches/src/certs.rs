//! Certificates for runs over TLS: one authority, one server, any number of clients. For tests alone: keys lie beside the certificates.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// Writes `ca.pem`, `server.crt`, `server.key` for localhost and 127.0.0.1, and `clients/NUMBER.crt` and `.key`.
pub(crate) fn write(directory: &Path, clients: u32) -> Result<()> {
    let client_directory = directory.join("clients");
    fs::create_dir_all(&client_directory).with_context(|| format!("create {}", client_directory.display()))?;
    let authority = authority()?;
    fs::write(directory.join("ca.pem"), authority.pem())?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = leaf("mooring-bench server", names, ExtendedKeyUsagePurpose::ServerAuth)?;
    sign(&server, &authority, &directory.join("server"))?;
    for number in 0..clients {
        let client = leaf(&format!("client-{number}"), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        sign(&client, &authority, &client_directory.join(format!("{number:05}")))?;
    }
    Ok(())
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "mooring-bench authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn leaf(name: &str, subject_names: Vec<String>, purpose: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(subject_names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn sign(params: &CertificateParams, authority: &CertifiedIssuer<'_, KeyPair>, path: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    fs::write(path.with_extension("crt"), certificate.pem())?;
    fs::write(path.with_extension("key"), key.serialize_pem())?;
    Ok(())
}
