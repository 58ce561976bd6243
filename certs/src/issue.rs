//! Issuing: a key and an id become a certificate. A renewal is the same call.

use std::fmt;
use std::net::IpAddr;

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, PublicKeyData, SanType};
use rustls_pki_types::{CertificateDer, DnsName};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::authority::{Authority, CaRole, Intermediate};
use crate::csr::SigningRequest;
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
    /// The leaf, then the intermediate, in PEM.
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
    /// The leaf, then the intermediate: what a TLS endpoint presents.
    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        vec![self.der.clone(), self.issuer_der.clone()]
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
        let leaf = Leaf { role: CaRole::Devices, kind: SpiffeKind::Device(id), names: Vec::new(), validity };
        self.issue(self.devices(), request.public_key(), leaf)
    }

    /// Issues a certificate for a client of a person.
    pub fn issue_client(&self, request: &SigningRequest, id: ClientUuid, validity: &Validity) -> Result<Issued> {
        let leaf = Leaf { role: CaRole::Clients, kind: SpiffeKind::Client(id), names: Vec::new(), validity };
        self.issue(self.clients(), request.public_key(), leaf)
    }

    /// Issues a certificate for a server that made its own request.
    pub fn issue_server(&self, request: &SigningRequest, names: &ServerNames, validity: &Validity) -> Result<Issued> {
        self.issue_server_for(request.public_key(), names, validity)
    }

    /// Issues a certificate for a key that this program holds: its own listeners.
    pub fn issue_server_for_key(&self, key: &PrivateKey, names: &ServerNames, validity: &Validity) -> Result<Issued> {
        self.issue_server_for(key, names, validity)
    }

    fn issue_server_for(&self, key: &impl PublicKeyData, names: &ServerNames, validity: &Validity) -> Result<Issued> {
        let kind = SpiffeKind::Server(names.name.clone());
        let leaf = Leaf { role: CaRole::Servers, kind, names: server_alt_names(names)?, validity };
        self.issue(self.servers(), key, leaf)
    }

    fn issue(&self, issuer: &Intermediate, key: &impl PublicKeyData, leaf: Leaf<'_>) -> Result<Issued> {
        let (not_before, not_after) = leaf.dates(issuer)?;
        let serial = Serial::random(&self.random)?;
        let spiffe_id = SpiffeId { trust_domain: self.trust_domain().clone(), kind: leaf.kind };

        let mut params = CertificateParams::default();
        params.serial_number = Some(serial.as_be_bytes().to_vec().into());
        params.not_before = not_before;
        params.not_after = not_after;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, spiffe_id.common_name());
        params.subject_alt_names = leaf.names;
        params.subject_alt_names.push(SanType::URI(spiffe_id.to_string().try_into()?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = leaf.role.extended_key_usages();
        params.use_authority_key_identifier_extension = true;
        let der: CertificateDer<'static> = params.signed_by(key, &issuer.issuer)?.into();

        let issuer_der = issuer.certificate.der.clone();
        let chain_pem = pem::encode(pem::CERTIFICATE, &der) + &pem::encode(pem::CERTIFICATE, &issuer_der);
        let fingerprint_sha256 = sha256(&der);
        let issuer_id = issuer.certificate.key_id;
        Ok(Issued {
            serial,
            der,
            issuer_der,
            chain_pem,
            not_before,
            not_after,
            fingerprint_sha256,
            spiffe_id,
            issuer_id,
        })
    }
}

/// What a leaf will say, apart from its key.
struct Leaf<'a> {
    role: CaRole,
    kind: SpiffeKind,
    /// The alternative names besides the SPIFFE id.
    names: Vec<SanType>,
    validity: &'a Validity,
}

impl Leaf<'_> {
    fn dates(&self, issuer: &Intermediate) -> Result<(OffsetDateTime, OffsetDateTime)> {
        let Validity { now, lifetime } = *self.validity;
        let ca = &issuer.certificate;
        if !(ca.not_before..=ca.not_after).contains(&now) {
            return Err(Error::IssuerNotValid(self.role));
        }
        // X.509 has UTC and whole seconds: what is handed back is what the certificate says.
        let whole = |time: OffsetDateTime| time.to_offset(UtcOffset::UTC).truncate_to_second();
        match now.checked_add(lifetime) {
            Some(end) if lifetime >= Duration::SECOND => Ok((whole(now - BACKDATE), whole(end).min(ca.not_after))),
            _ => Err(Error::Lifetime(lifetime.whole_seconds())),
        }
    }
}

fn server_alt_names(names: &ServerNames) -> Result<Vec<SanType>> {
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
