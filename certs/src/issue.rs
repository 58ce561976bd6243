//! Issuing: a key and an id become a certificate. A renewal is the same call.

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType, IsCa, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use rustls_pki_types::{CertificateDer, DnsName};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::authority::{Authority, CaCertificate, CaRole};
use crate::csr::SigningRequest;
use crate::der::OID;
use crate::der_write::{sequence, value};
use crate::error::{Error, Result};
use crate::ids::{ClientUuid, DeviceId, ServerName, SpiffeId, SpiffeKind};
use crate::keystore::PrivateKey;
use crate::pem;
use crate::serial::{KeyId, Serial};

/// Certificates start this much before they are issued: for peers whose clocks are behind.
pub const BACKDATE: Duration = Duration::minutes(5);
/// The most DNS names and addresses of a server certificate.
pub const SERVER_NAMES_MAX: usize = 64;

/// When a certificate is valid: from a little before `now`, for `lifetime`, and never longer than its issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The time of issue.
    pub now: OffsetDateTime,
    /// How long after it the certificate ends.
    pub lifetime: Duration,
}

impl Validity {
    /// The lifetime of a device's certificate where no policy says another.
    pub const DEVICE: Duration = Duration::days(365);
    /// The lifetime of a client's certificate where no policy says another.
    pub const CLIENT: Duration = Duration::days(90);
    /// The lifetime of a server's certificate where no policy says another.
    pub const SERVER: Duration = Duration::days(90);

    /// Valid from `now`, for `lifetime`.
    pub const fn new(now: OffsetDateTime, lifetime: Duration) -> Self {
        Self { now, lifetime }
    }
}

/// What a server is called: in its id, and by those who connect to it.
#[derive(Debug, Clone)]
pub struct ServerNames {
    /// The name in the SPIFFE id.
    pub name: ServerName,
    /// The DNS names that clients connect to.
    pub dns: Vec<DnsName<'static>>,
    /// The addresses that clients connect to.
    pub addresses: Vec<IpAddr>,
}

impl ServerNames {
    /// Takes each of `addresses` for an IP address when it is one, and for a DNS name when not.
    pub fn parse<'a>(name: ServerName, addresses: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut names = Self { name, dns: Vec::new(), addresses: Vec::new() };
        for text in addresses {
            if let Ok(address) = text.parse() {
                names.addresses.push(address);
            } else if let Ok(dns) = DnsName::try_from(text) {
                names.dns.push(dns.to_owned());
            } else {
                return Err(Error::ServerAddress(text.to_owned()));
            }
        }
        Ok(names)
    }
}

/// A certificate that was issued.
#[derive(Clone)]
pub struct Issued {
    /// The serial number, unique together with the issuer.
    pub serial: Serial,
    /// The leaf.
    pub der: CertificateDer<'static>,
    /// The intermediate that signed it.
    pub issuer_der: CertificateDer<'static>,
    /// What is between the intermediate and somebody else's root, the intermediate's signer first; below our own root, nothing.
    pub path_der: Vec<CertificateDer<'static>>,
    /// The leaf, then the intermediate, then that path, in PEM.
    pub chain_pem: String,
    /// The start of its validity.
    pub not_before: OffsetDateTime,
    /// The end of its validity.
    pub not_after: OffsetDateTime,
    /// The SHA-256 of the leaf's DER.
    pub fingerprint_sha256: [u8; 32],
    /// Whom it is for.
    pub spiffe_id: SpiffeId,
    /// Which key signed it.
    pub issuer_id: KeyId,
}

impl Issued {
    /// The leaf, then the intermediate, then what is above it up to the root: what a TLS endpoint presents.
    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        [&self.der, &self.issuer_der].into_iter().chain(&self.path_der).cloned().collect()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("spiffe_id", &format_args!("{}", self.spiffe_id))
            .field("serial", &self.serial)
            .field("issuer_id", &self.issuer_id)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Issues a certificate for a device.
    pub fn issue_device(&self, request: &SigningRequest, id: DeviceId, validity: &Validity) -> Result<Issued> {
        self.issue(request.public_key(), SpiffeKind::Device(id), Vec::new(), validity)
    }

    /// Issues a certificate for a client of a person.
    pub fn issue_client(&self, request: &SigningRequest, id: ClientUuid, validity: &Validity) -> Result<Issued> {
        self.issue(request.public_key(), SpiffeKind::Client(id), Vec::new(), validity)
    }

    /// Issues a certificate for a server that made its own request.
    pub fn issue_server(&self, request: &SigningRequest, names: &ServerNames, validity: &Validity) -> Result<Issued> {
        self.issue(request.public_key(), SpiffeKind::Server(names.name.clone()), alternative_names(names)?, validity)
    }

    /// Issues a certificate for a key that this program holds: its own listeners.
    pub fn issue_server_for_key(&self, key: &PrivateKey, names: &ServerNames, validity: &Validity) -> Result<Issued> {
        self.issue(key, SpiffeKind::Server(names.name.clone()), alternative_names(names)?, validity)
    }

    /// Issues a certificate. `other_names` stand beside the SPIFFE id in the subject alternative name.
    fn issue(
        &self,
        key: &impl PublicKeyData,
        kind: SpiffeKind,
        other_names: Vec<SanType>,
        validity: &Validity,
    ) -> Result<Issued> {
        let role = kind.issuer_role();
        let issuer = self.intermediate(&kind);
        let (not_before, not_after) = dates(role, &issuer.certificate, validity)?;
        let serial = Serial::random(&self.random)?;
        let spiffe_id = SpiffeId { trust_domain: self.trust_domain().clone(), kind };

        let mut params = leaf_params(role, &spiffe_id, other_names)?;
        params.serial_number = Some(serial.as_be_bytes().to_vec().into());
        params.not_before = not_before;
        params.not_after = not_after;
        if let Some(url) = self.public_url() {
            name_sources(&mut params, url, &role.label(issuer.certificate.key_id));
        }
        let der: CertificateDer<'static> = params.signed_by(key, &issuer.issuer)?.into();

        let issuer_der = issuer.certificate.der.clone();
        Ok(Issued {
            serial,
            chain_pem: [&der, &issuer_der]
                .into_iter()
                .chain(&issuer.certificate.path)
                .map(|der| pem::encode(pem::CERTIFICATE, der))
                .collect(),
            path_der: issuer.certificate.path.clone(),
            fingerprint_sha256: sha256(&der),
            der,
            issuer_der,
            not_before,
            not_after,
            spiffe_id,
            issuer_id: issuer.certificate.key_id,
        })
    }
}

/// What every leaf of a role says: all of it is set here, nothing comes from a request.
fn leaf_params(role: CaRole, spiffe_id: &SpiffeId, other_names: Vec<SanType>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, spiffe_id.common_name());
    params.subject_alt_names = other_names;
    // X509-SVID, 2: exactly one URI.
    params.subject_alt_names.push(SanType::URI(spiffe_id.to_string().try_into()?));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = role.extended_key_usages();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Where others ask about a leaf: the list of its issuer (RFC 5280, 4.2.1.13), OCSP, and the issuer's certificate (4.2.2.1).
fn name_sources(params: &mut CertificateParams, url: &str, issuer: &str) {
    params.crl_distribution_points =
        vec![CrlDistributionPoint { uris: vec![format!("{url}/.well-known/crl/{issuer}.crl")] }];
    let access = |method: &[u8], uri: String| sequence(&[&value(OID, method), &value(URI_NAME, uri.as_bytes())]);
    let ocsp = access(ACCESS_OCSP, format!("{url}/ocsp"));
    let issuers = access(ACCESS_CA_ISSUERS, format!("{url}/.well-known/ca/{issuer}.cer"));
    let content = sequence(&[&ocsp, &issuers]);
    params.custom_extensions = vec![CustomExtension::from_oid_content(AUTHORITY_INFORMATION_ACCESS, content)];
}

const AUTHORITY_INFORMATION_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const ACCESS_OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
const ACCESS_CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// The tag of a URI among the kinds of names (RFC 5280, 4.2.1.6).
const URI_NAME: u8 = 0x86;

/// The start and the end of a leaf, in UTC and whole seconds as X.509 has them: what is handed back is what the
/// certificate says.
pub(crate) fn dates(
    role: CaRole,
    issuer: &CaCertificate,
    validity: &Validity,
) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let Validity { now, lifetime } = *validity;
    if !(issuer.not_before..=issuer.not_after).contains(&now) {
        return Err(Error::IssuerNotValid(role));
    }
    let whole = |time: OffsetDateTime| time.to_offset(UtcOffset::UTC).truncate_to_second();
    match now.checked_add(lifetime) {
        Some(end) if lifetime >= Duration::SECOND => Ok((whole(now - BACKDATE), whole(end).min(issuer.not_after))),
        _ => Err(Error::Lifetime(lifetime.whole_seconds())),
    }
}

fn alternative_names(names: &ServerNames) -> Result<Vec<SanType>> {
    let asked = names.dns.len() + names.addresses.len();
    if asked == 0 {
        return Err(Error::NoServerNames);
    }
    if asked > SERVER_NAMES_MAX {
        return Err(Error::TooManyServerNames { asked, max: SERVER_NAMES_MAX });
    }
    let dns = names.dns.iter().map(|name| Ok(SanType::DnsName(name.as_ref().try_into()?)));
    let addresses = names.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
    dns.chain(addresses).collect()
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
    fingerprint
}
