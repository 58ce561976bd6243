//! One test for each attack on the handshake. Each attacker has everything that the name of the attack says, and nothing else is wrong.

use std::sync::Arc;

use mooring_auth::ClientCertificate;
use mooring_certs::CaRole;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, SignatureScheme};
use time::{Duration, OffsetDateTime};

use crate::forge::{CLIENT, Ca, Chain, DEVICE, UUID, common_name, device_but, device_params, sign, uri};
use crate::handshake::Listener;

/// Our authority, and the listener that an attacker meets.
struct Target {
    ca: Ca,
    listener: Listener,
}

impl Target {
    fn new() -> Self {
        let ca = Ca::new();
        let listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::Required);
        Self { ca, listener }
    }

    /// Refuses a chain, and says so.
    #[track_caller]
    fn refuses(&self, chain: &Chain, says: &str) {
        let error = self.listener.connect(Some(chain)).err().expect("the handshake is refused");
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }

    /// Refuses what an intermediate of ours signed by mistake.
    #[track_caller]
    fn refuses_signed_by(&self, role: CaRole, params: &CertificateParams, says: &str) {
        self.refuses(&self.signed_by(role, params), says);
    }

    fn signed_by(&self, role: CaRole, params: &CertificateParams) -> Chain {
        sign(params, &self.ca.issuer(role), &[self.ca.authority.certificate(role).clone()])
    }
}

#[test]
fn the_forger_makes_good_certificates_too() {
    let target = Target::new();
    let device = target.signed_by(CaRole::Devices, &device_params());
    assert!(target.listener.connect(Some(&device)).is_ok(), "otherwise the refusals below would mean nothing");
    let client = target.signed_by(CaRole::Clients, &device_but(|params| params.subject_alt_names = vec![uri(CLIENT)]));
    assert!(target.listener.connect(Some(&client)).is_ok());
}

#[test]
fn no_certificate() {
    let error = Target::new().listener.connect(None).err().unwrap();
    assert!(error.contains("sent no certificates"), "{error}");
}

#[test]
fn a_foreign_authority_with_the_same_organisation_and_trust_domain() {
    let target = Target::new();
    target.refuses(&Ca::new().device(), "UnknownIssuer");
    target.refuses(&Ca::new().client(), "UnknownIssuer");
}

#[test]
fn a_foreign_authority_with_the_very_names_and_key_identifiers_of_ours() {
    let target = Target::new();
    let ours = target.ca.authority.certificate(CaRole::Devices);
    let theirs = Issuer::from_ca_cert_der(ours, KeyPair::generate().unwrap()).unwrap();
    target.refuses(&sign(&device_params(), &theirs, std::slice::from_ref(ours)), "BadSignature");
}

#[test]
fn a_self_signed_certificate() {
    let target = Target::new();
    let key = KeyPair::generate().unwrap();
    let params = device_params();
    let issuer = Issuer::from_params(&params, &key);
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    target.refuses(&Chain { ders: vec![leaf.der().clone()], key }, "UnknownIssuer");
}

#[test]
fn a_leaf_used_as_an_issuer() {
    let target = Target::new();
    let device = target.ca.device();
    let evil = sign(&device_params(), &device.issuer(), &device.ders);
    target.refuses(&evil, "UnknownIssuer");
}

#[test]
fn an_intermediate_of_the_attacker_below_ours() {
    let target = Target::new();
    let ca_params = device_but(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    let intermediate = target.signed_by(CaRole::Devices, &ca_params);
    target.refuses(&sign(&device_params(), &intermediate.issuer(), &intermediate.ders), "UnknownIssuer");
}

#[test]
fn a_certificate_of_an_authority_as_a_leaf() {
    let target = Target::new();
    let params = device_but(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    target.refuses_signed_by(CaRole::Devices, &params, "IsCa");
}

#[test]
fn a_server_certificate_as_a_client() {
    let target = Target::new();
    target.refuses(&target.ca.server(), "NotAClient");
}

#[test]
fn a_device_name_signed_by_the_intermediate_of_another_kind() {
    let target = Target::new();
    target.refuses_signed_by(CaRole::Clients, &device_params(), "UnknownIssuer");
    target.refuses_signed_by(CaRole::Servers, &device_params(), "UnknownIssuer");
    let client = device_but(|params| params.subject_alt_names = vec![uri(CLIENT)]);
    target.refuses_signed_by(CaRole::Devices, &client, "UnknownIssuer");
}

#[test]
fn wrong_or_missing_extended_key_usage() {
    let target = Target::new();
    let server = device_but(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    target.refuses_signed_by(CaRole::Devices, &server, "InvalidPurpose");
    let none = device_but(|params| params.extended_key_usages.clear());
    target.refuses_signed_by(CaRole::Devices, &none, "InvalidPurpose");
}

#[test]
fn expired_and_not_yet_valid() {
    let target = Target::new();
    let now = OffsetDateTime::now_utc();
    let expired = device_but(|params| params.not_after = now - Duration::MINUTE);
    target.refuses_signed_by(CaRole::Devices, &expired, "certificate expired");
    let early = device_but(|params| params.not_before = now + Duration::HOUR);
    target.refuses_signed_by(CaRole::Devices, &early, "not valid yet");
}

#[test]
fn spiffe_id_in_the_common_name_only() {
    let params = device_but(|params| {
        params.distinguished_name = common_name(DEVICE);
        params.subject_alt_names.clear();
    });
    Target::new().refuses_signed_by(CaRole::Devices, &params, "UriCount(0)");
}

#[test]
fn spiffe_id_as_another_kind_of_name() {
    let params = device_but(|params| {
        params.subject_alt_names = vec![SanType::DnsName("device.mooring.local".try_into().unwrap())];
        params.distinguished_name.push(DnType::OrganizationName, DEVICE);
    });
    Target::new().refuses_signed_by(CaRole::Devices, &params, "UriCount(0)");
}

#[test]
fn two_uris() {
    let target = Target::new();
    for second in [DEVICE, CLIENT, "https://mooring.local/"] {
        let params = device_but(|params| params.subject_alt_names.push(uri(second)));
        target.refuses_signed_by(CaRole::Devices, &params, "UriCount(2)");
    }
}

#[test]
fn other_trust_domain() {
    let target = Target::new();
    for domain in ["evil.example", "mooring.local.evil.example", "mooring.loca"] {
        let id = DEVICE.replace("mooring.local", domain);
        let params = device_but(|params| params.subject_alt_names = vec![uri(&id)]);
        target.refuses_signed_by(CaRole::Devices, &params, "ForeignTrustDomain");
    }
}

#[test]
fn another_spelling_of_the_same_name() {
    let target = Target::new();
    let spellings = [
        DEVICE.replace("mooring", "Mooring"),
        DEVICE.replace("spiffe", "SPIFFE"),
        DEVICE.replace("ac96", "AC96"),
        DEVICE.replace("/device/", "/Device/"),
        DEVICE.replace("mooring.local", "mooring%2elocal"),
        DEVICE.replace("ac96", "%61c96"),
        DEVICE.replace("/device", "%2fdevice"),
        format!("{DEVICE}\0"),
        format!("{DEVICE}\0.evil.example"),
        DEVICE.replace("mooring.local", "mooring.local\0"),
        format!("{DEVICE}/"),
        format!("{DEVICE}?x"),
        format!("{DEVICE}#x"),
        DEVICE.replace("mooring.local", "user@mooring.local"),
        DEVICE.replace("mooring.local", "mooring.local:443"),
        DEVICE.replace("/device/", "/device/../device/"),
        DEVICE.replace(UUID, "+"),
        DEVICE.replace(UUID, "#"),
        DEVICE.replace(UUID, ""),
    ];
    for spelling in spellings {
        let params = device_but(|params| params.subject_alt_names = vec![uri(&spelling)]);
        target.refuses_signed_by(CaRole::Devices, &params, "SpiffeId(");
    }
}

#[test]
fn a_key_identifier_that_names_another_signer() {
    // The revoked set is asked by this identifier: a wrong one would be a way around it.
    let target = Target::new();
    let ours = target.ca.authority.certificate(CaRole::Devices);
    let mut renamed = CertificateParams::default();
    renamed.distinguished_name = subject_of(ours);
    renamed.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
    let key = target.ca.issuer(CaRole::Devices);
    let issuer = Issuer::new(renamed, key.key());
    let key = KeyPair::generate().unwrap();
    let leaf = device_params().signed_by(&key, &issuer).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    target.refuses(&Chain { ders: vec![leaf.der().clone()], key }, "OtherSigner");
}

#[test]
fn a_certificate_without_its_key() {
    /// Presents one certificate, and signs with the key of another.
    #[derive(Debug)]
    struct Thief(Arc<CertifiedKey>);
    impl ResolvesClientCert for Thief {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let target = Target::new();
    let (victim, thief) = (target.ca.device(), target.ca.device());
    let stolen = CertifiedKey::new(victim.ders.clone(), any_supported_type(&thief.key).unwrap());
    let mut client = ClientConfig::clone(&target.listener.client(&TLS13, None));
    client.client_auth_cert_resolver = Arc::new(Thief(Arc::new(stolen)));
    let error = target.listener.connect_as(&Arc::new(client)).err().unwrap();
    assert!(error.contains("BadSignature"), "{error}");
}

fn subject_of(der: &[u8]) -> rcgen::DistinguishedName {
    let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
    let mut name = rcgen::DistinguishedName::new();
    for attribute in x509.subject().iter_attributes() {
        let kind = match attribute.attr_type().to_id_string().as_str() {
            "2.5.4.10" => DnType::OrganizationName,
            "2.5.4.3" => DnType::CommonName,
            other => panic!("an attribute that is not expected here: {other}"),
        };
        name.push(kind, attribute.as_str().unwrap());
    }
    name
}
