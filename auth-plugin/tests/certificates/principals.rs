//! From a certificate, or none, to a principal.

use std::sync::Arc;

use mooring_auth::authenticate::Deciding;
use mooring_auth::{
    ANONYMOUS, AnonymousPolicy, Authenticators, CertificateAuthenticator, Method, Rights, system_clock,
};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Authenticate, ConnectAttempt, Identity, Principal, Refusal};
use mooring_protocol::{Connect, ReasonCode};

use crate::forge::{CLIENT, Ca, Chain, DEVICE, UUID};

/// What authenticates, and what may change under it.
struct Door {
    ca: Ca,
    rights: Arc<Rights>,
    authenticator: CertificateAuthenticator,
    revoked: Arc<mooring_auth::RevokedSet>,
}

impl Door {
    fn new() -> Self {
        Self::at(system_clock())
    }

    fn at(clock: mooring_auth::Clock) -> Self {
        let rights = Arc::new(Rights::new(&TrustDomain::default(), AnonymousPolicy::Deny, Arc::clone(&clock)));
        let revoked = Arc::new(mooring_auth::RevokedSet::new());
        let authenticator =
            CertificateAuthenticator::new(TrustDomain::default(), Arc::clone(&revoked), Arc::clone(&rights), clock);
        Self { ca: Ca::new(), rights, authenticator, revoked }
    }

    fn with_certificate(&self, chain: &Chain) -> Result<Principal, Refusal> {
        ask(&self.authenticator, &Connect::new("c"), Some(chain.leaf()), false)
    }

    #[track_caller]
    fn refuses(&self, chain: &Chain, says: &str) {
        let refusal = self.with_certificate(chain).expect_err("the CONNECT is refused");
        assert_eq!(refusal.reason, ReasonCode::NotAuthorized);
        assert!(refusal.why.contains(says), "{}", refusal.why);
    }
}

fn ask(
    authenticator: &dyn Authenticate,
    connect: &Connect<'_>,
    leaf: Option<&[u8]>,
    anonymous: bool,
) -> Result<Principal, Refusal> {
    let attempt = ConnectAttempt {
        connect,
        peer_certificate: leaf,
        address: "192.0.2.1:5",
        listener: "tls",
        allow_anonymous: anonymous,
    };
    now_or_never(authenticator.authenticate(attempt))
}

/// Nothing here waits: a future that is not ready is a failure.
fn now_or_never<T>(future: std::pin::Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the answer has to be there at once"),
    }
}

#[test]
fn a_device_is_its_spiffe_id_and_has_presence() {
    let door = Door::new();
    let chain = door.ca.device();
    let principal = door.with_certificate(&chain).unwrap();
    assert_eq!(principal.identity, Identity::new(DEVICE));
    assert_eq!(principal.identity, door.rights.device_identity(DeviceId::parse(UUID).unwrap()));
    assert_eq!(principal.certificate_serial.as_deref(), Some(chain.identity().serial.to_string().as_str()));
    assert_eq!(principal.presence_topic.unwrap().as_str(), format!("devices/{UUID}/presence"));
    assert_eq!((&*principal.address, &*principal.listener), ("192.0.2.1:5", "tls"));
}

#[test]
fn a_client_of_a_person_is_its_spiffe_id_and_has_no_presence() {
    let door = Door::new();
    let principal = door.with_certificate(&door.ca.client()).unwrap();
    assert_eq!(principal.identity, Identity::new(CLIENT));
    assert!(principal.presence_topic.is_none());
}

#[test]
fn a_certificate_counts_whatever_user_name_is_sent_along() {
    let door = Door::new();
    let mut connect = Connect::new("c");
    (connect.username, connect.password) = (Some("user:ana"), Some(b"x".as_slice()));
    let principal = ask(&door.authenticator, &connect, Some(door.ca.device().leaf()), true).unwrap();
    assert_eq!(principal.identity, Identity::new(DEVICE));
}

#[test]
fn revoked_between_handshake_and_connect() {
    let door = Door::new();
    let chain = door.ca.device();
    assert!(door.with_certificate(&chain).is_ok());
    let leaf = chain.identity();
    door.revoked.extend([(leaf.issuer_id, leaf.serial)]);
    door.refuses(&chain, "is revoked");
}

#[test]
fn expired_between_handshake_and_connect() {
    let tomorrow = (system_clock())() + 25 * 3_600_000;
    let door = Door::at(Arc::new(move || tomorrow));
    door.refuses(&door.ca.device(), "not valid at this time");
}

#[test]
fn a_blocked_device_is_refused_with_every_certificate_until_it_is_unblocked() {
    let door = Door::new();
    let identity = Identity::new(DEVICE);
    door.rights.block(identity.clone());
    door.refuses(&door.ca.device(), "is blocked");
    door.refuses(&door.ca.device(), "is blocked");
    assert!(door.with_certificate(&door.ca.client()).is_ok());
    door.rights.unblock(&identity);
    assert!(door.with_certificate(&door.ca.device()).is_ok());
}

#[test]
fn a_server_or_a_broken_certificate_is_nobody() {
    let door = Door::new();
    door.refuses(&door.ca.server(), "a server cannot connect");
    let mut chain = door.ca.device();
    chain.ders[0] = chain.ders[0][..200].to_vec().into();
    door.refuses(&chain, "no usable identity");
}

#[test]
fn without_a_certificate_the_listener_decides() {
    fn check(username: Option<&str>, anonymous: bool, expected: Result<&str, ReasonCode>) {
        let door = Door::new();
        let mut connect = Connect::new("c");
        connect.username = username;
        let answer = ask(&door.authenticator, &connect, None, anonymous);
        let answer = answer.as_ref().map(|principal| principal.identity.as_str()).map_err(|refusal| refusal.reason);
        assert_eq!(answer, expected, "{username:?}, anonymous: {anonymous}");
    }
    check(None, true, Ok(ANONYMOUS));
    check(Some("ana"), true, Ok(ANONYMOUS));
    check(None, false, Err(ReasonCode::NotAuthorized));
    check(Some("ana"), false, Err(ReasonCode::BadUserNameOrPassword));
    check(Some(DEVICE), false, Err(ReasonCode::BadUserNameOrPassword));
}

/// Knows one user name, and no other.
struct OneUser(&'static str);

impl Method for OneUser {
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        let mine = attempt.connect.username == Some(self.0);
        let refused = Refusal { reason: ReasonCode::Banned, why: self.0.into() };
        Box::pin(std::future::ready(mine.then_some(Err(refused))))
    }
}

#[test]
fn methods_are_asked_in_turn_after_the_certificate() {
    let door = Door::new();
    let leaf = door.ca.device();
    let methods: [Box<dyn Method>; 2] = [Box::new(OneUser("a")), Box::new(OneUser("b"))];
    let chain = Authenticators::new(door.authenticator, methods.into(), ["tls".into()]);
    let as_user = |name, leaf| {
        let mut connect = Connect::new("c");
        connect.username = Some(name);
        ask(&chain, &connect, leaf, true).map(|principal| principal.identity).map_err(|refusal| refusal.why.to_string())
    };
    assert_eq!(as_user("a", None), Err("a".to_owned()));
    assert_eq!(as_user("b", None), Err("b".to_owned()));
    assert_eq!(as_user("a", Some(leaf.leaf())), Ok(Identity::new(DEVICE)));
}

#[test]
fn attack_wrong_credentials_where_anonymous_clients_are_welcome() {
    fn check(
        takes_passwords: bool,
        username: Option<&str>,
        password: Option<&[u8]>,
        expected: Result<&str, ReasonCode>,
    ) {
        let listeners = takes_passwords.then(|| "tls".into());
        let chain = Authenticators::new(Door::new().authenticator, vec![Box::new(OneUser("a"))], listeners);
        let mut connect = Connect::new("c");
        (connect.username, connect.password) = (username, password);
        let answer = ask(&chain, &connect, None, true);
        let answer = answer.as_ref().map(|principal| principal.identity.as_str()).map_err(|refusal| refusal.reason);
        assert_eq!(answer, expected, "takes passwords: {takes_passwords}, {username:?} {password:?}");
    }
    check(true, Some("c"), Some(b"wrong"), Err(ReasonCode::BadUserNameOrPassword));
    check(true, Some("c"), None, Err(ReasonCode::BadUserNameOrPassword));
    check(true, None, Some(b"wrong"), Err(ReasonCode::BadUserNameOrPassword));
    check(true, None, None, Ok(ANONYMOUS));
    // Where a listener takes no passwords, one says nothing.
    check(false, Some("a"), Some(b"wrong"), Ok(ANONYMOUS));
}
