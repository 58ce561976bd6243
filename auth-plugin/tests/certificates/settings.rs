//! What a listener is configured to: versions, suites, who has to show a certificate, and what may be an anchor.

use mooring_auth::{Anchors, AuthError, ClientCertificate, ReloadableTls, server_config};
use mooring_certs::CaRole;
use rustls::CipherSuite;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

use crate::forge::Ca;
use crate::handshake::Listener;

#[test]
fn devices_and_clients_of_people_connect() {
    let ca = Ca::new();
    let listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::Required);
    for chain in [ca.device(), ca.client()] {
        let agreed = listener.connect(Some(&chain)).unwrap();
        assert_eq!(agreed.client_certificate.as_ref(), Some(chain.leaf()));
    }
}

#[test]
fn the_suite_that_costs_least_is_taken_whatever_the_client_prefers() {
    let ca = Ca::new();
    let listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::Required);
    let device = ca.device();
    let suite = |version| listener.connect_as(&listener.client(version, Some(&device))).unwrap().suite;
    assert_eq!(suite(&TLS13), CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(suite(&TLS12), CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
}

#[test]
fn an_optional_certificate_may_be_missing_and_may_not_be_bad() {
    let ca = Ca::new();
    let listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::Optional);
    assert_eq!(listener.connect(None).unwrap().client_certificate, None);
    assert!(listener.connect(Some(&ca.device())).unwrap().client_certificate.is_some());
    assert!(listener.connect(Some(&Ca::new().device())).is_err());
}

#[test]
fn a_listener_without_client_certificates_asks_for_none() {
    let ca = Ca::new();
    let listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::None);
    assert_eq!(listener.connect(Some(&ca.device())).unwrap().client_certificate, None);
}

#[test]
fn alpn_can_be_set() {
    let ca = Ca::new();
    let server = ca.server();
    let mut config = server_config(server.ders, server.key, ClientCertificate::None, &ca.mutual_tls()).unwrap();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let mut listener = Listener::new(&ca, &ca.mutual_tls(), ClientCertificate::None);
    listener.config = Arc::new(config);
    let mut client = rustls::ClientConfig::clone(&listener.client(&TLS13, None));
    client.alpn_protocols = vec![b"mqtt".to_vec()];
    assert_eq!(listener.connect_as(&Arc::new(client)).unwrap().alpn.as_deref(), Some(b"mqtt".as_slice()));
}

#[test]
fn a_replaced_configuration_is_for_later_handshakes() {
    let ca = Ca::new();
    let config = || {
        let server = ca.server();
        server_config(server.ders, server.key, ClientCertificate::Required, &ca.mutual_tls()).unwrap()
    };
    let tls = ReloadableTls::new(config());
    let before = tls.current();
    assert!(Arc::ptr_eq(&before, &tls.current()));
    tls.clone().replace(config());
    assert!(!Arc::ptr_eq(&before, &tls.current()), "clones share the configuration");
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let ca = Ca::new();
    let refused = server_config(ca.server().ders, ca.server().key, ClientCertificate::Required, &ca.mutual_tls());
    assert!(matches!(refused, Err(AuthError::Tls(_))));
}

#[test]
fn only_an_authority_for_clients_can_be_an_anchor() {
    fn check(der: &rustls_pki_types::CertificateDer<'_>, says: &str) {
        let error = Anchors::new(&[], std::slice::from_ref(der)).unwrap_err().to_string();
        assert!(error.contains("of the clients") && error.contains(says), "{error}");
    }
    let ca = Ca::new();
    check(ca.device().leaf(), "not of an authority");
    check(ca.authority.certificate(CaRole::Servers), "extended key usage");
    check(&b"-----BEGIN CERTIFICATE-----".as_slice().into(), "cannot be trusted");
}
