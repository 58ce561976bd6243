//! The door at which the tests knock.

use std::sync::Arc;

use mooring_auth::{
    AnonymousPolicy, Authenticators, CertificateAuthenticator, Method, RevokedSet, Rights, system_clock,
};
use mooring_certs::TrustDomain;
use mooring_core::{Authenticate as _, ConnectAttempt, Principal, Refusal};
use mooring_protocol::{Connect, ReasonCode};

/// The listener that takes passwords.
pub(crate) const LISTENER: &str = "passwords";

/// Rights in which nobody has any yet.
pub(crate) fn rights() -> Arc<Rights> {
    Arc::new(Rights::new(&TrustDomain::default(), AnonymousPolicy::Deny, system_clock()))
}

/// A server's chain of methods, at a listener that lets anonymous clients in as well: whoever is refused here is refused everywhere.
pub(crate) struct Door(Authenticators);

impl Door {
    pub(crate) fn new(rights: &Arc<Rights>, method: impl Method + 'static) -> Self {
        let (trust_domain, revoked) = (TrustDomain::default(), Arc::new(RevokedSet::new()));
        let certificates = CertificateAuthenticator::new(trust_domain, revoked, Arc::clone(rights), system_clock());
        Self(Authenticators::new(certificates, vec![Box::new(method)], [LISTENER.into()]))
    }

    pub(crate) async fn knock(&self, username: Option<&str>, password: &[u8]) -> Result<Principal, Refusal> {
        let mut connect = Connect::new("c");
        (connect.username, connect.password) = (username, Some(password));
        let attempt = ConnectAttempt {
            connect: &connect,
            peer_certificate: None,
            address: "192.0.2.1:5",
            listener: LISTENER,
            allow_anonymous: true,
        };
        self.0.authenticate(attempt).await
    }

    pub(crate) async fn is_refused(&self, username: Option<&str>, password: &[u8], reason: ReasonCode, says: &str) {
        let refusal = self.knock(username, password).await.expect_err("the CONNECT is refused");
        assert_eq!(refusal.reason, reason, "{}", refusal.why);
        assert!(refusal.why.contains(says), "{}", refusal.why);
    }
}
