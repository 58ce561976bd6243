//! An authority of our own, and what an attacker could make of it if its keys signed anything.

use std::sync::Arc;

use mooring_auth::{Anchors, MutualTls, RevokedSet};
use mooring_certs::{
    Authority, CaOptions, CaRole, ClientUuid, DeviceId, LeafIdentity, PrivateKey, ServerName, ServerNames,
    SigningRequest, TrustDomain, Validity,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

pub(crate) const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const DEVICE: &str = "spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const CLIENT: &str = "spiffe://mooring.local/client/01890a5d-ac96-774b-bcce-b302099a8057";

/// A certificate chain with the key of its leaf.
pub(crate) struct Chain {
    pub(crate) ders: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Chain {
    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.ders[0]
    }

    pub(crate) fn identity(&self) -> LeafIdentity {
        LeafIdentity::read(self.leaf()).unwrap()
    }

    /// As the issuer of others.
    pub(crate) fn issuer(&self) -> Issuer<'static, KeyPair> {
        let PrivateKeyDer::Pkcs8(key) = &self.key else { panic!("the tests make PKCS#8 keys") };
        Issuer::from_ca_cert_der(self.leaf(), KeyPair::try_from(key.secret_pkcs8_der()).unwrap()).unwrap()
    }
}

/// An authority in a directory of its own.
pub(crate) struct Ca {
    pub(crate) authority: Authority,
    dir: tempfile::TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = CaOptions {
            trust_domain: TrustDomain::default(),
            organisation: "Acme".to_owned(),
            now: OffsetDateTime::now_utc(),
        };
        Self { authority: Authority::create(dir.path(), &options).unwrap(), dir }
    }

    /// An intermediate, to sign what the authority itself never would.
    pub(crate) fn issuer(&self, role: CaRole) -> Issuer<'static, KeyPair> {
        let pem = std::fs::read_to_string(self.dir.path().join(format!("{}.key", role.name()))).unwrap();
        Issuer::from_ca_cert_der(self.authority.certificate(role), KeyPair::from_pem(&pem).unwrap()).unwrap()
    }

    /// What the authority issues to a device.
    pub(crate) fn device(&self) -> Chain {
        self.issue(|request, validity| {
            self.authority.issue_device(request, DeviceId::parse(UUID).unwrap(), validity).unwrap().chain_der()
        })
    }

    /// What the authority issues to a client of a person.
    pub(crate) fn client(&self) -> Chain {
        self.issue(|request, validity| {
            self.authority.issue_client(request, ClientUuid::parse(UUID).unwrap(), validity).unwrap().chain_der()
        })
    }

    /// What the authority issues to a server called `localhost`.
    pub(crate) fn server(&self) -> Chain {
        let names = ServerNames::parse(ServerName::parse("node-1").unwrap(), ["localhost"]).unwrap();
        self.issue(|request, validity| self.authority.issue_server(request, &names, validity).unwrap().chain_der())
    }

    fn issue(&self, issue: impl FnOnce(&SigningRequest, &Validity) -> Vec<CertificateDer<'static>>) -> Chain {
        let key = PrivateKey::generate().unwrap();
        let request = SigningRequest::parse(key.request_pem().unwrap().as_bytes()).unwrap();
        let ders = issue(&request, &Validity::new(OffsetDateTime::now_utc(), Duration::days(1)));
        Chain { ders, key: key.to_der().into() }
    }

    /// The verifier of this authority's clients.
    pub(crate) fn mutual_tls(&self) -> MutualTls {
        let anchors = Anchors::of_authority(&self.authority).unwrap();
        MutualTls::new(TrustDomain::default(), anchors, Arc::new(RevokedSet::new()))
    }
}

/// What a device's certificate says, for a forger to change.
pub(crate) fn device_params() -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + Duration::days(1);
    params.distinguished_name = common_name(UUID);
    params.subject_alt_names = vec![uri(DEVICE)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// [`device_params`], changed.
pub(crate) fn device_but(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = device_params();
    change(&mut params);
    params
}

/// Signs a leaf with a new key, and sends the issuers along.
pub(crate) fn sign(
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    issuers: &[CertificateDer<'static>],
) -> Chain {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, issuer).unwrap();
    let ders = std::iter::once(leaf.der().clone()).chain(issuers.iter().cloned()).collect();
    Chain { ders, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}
