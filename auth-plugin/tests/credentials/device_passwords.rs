//! Passwords of devices.

use std::future::ready;
use std::sync::{Arc, Mutex};

use mooring_auth::device_password::{
    DevicePasswordPolicy, DevicePasswordSource, DevicePasswords, Looking, device_password_credential,
};
use mooring_auth::{AuthError, Rights, Secret, SecretKind};
use mooring_certs::DeviceId;
use mooring_protocol::ReasonCode;
use uuid::Uuid;

use crate::door::{Door, rights};

const DEVICE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What the database says of the device's password.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Option<[u8; 32]>>>>);

impl DevicePasswordSource for Shared {
    fn find(&self, device: Uuid) -> Looking<'_> {
        let known = *self.0.lock().unwrap();
        Box::pin(ready(match known {
            Some(hash) => Ok(hash.filter(|_| device.to_string() == DEVICE)),
            None => Err(AuthError::DevicePasswordsAway("connection refused".to_owned())),
        }))
    }
}

struct Case {
    door: Door,
    database: Shared,
    secret: Secret,
    rights: Arc<Rights>,
}

impl Case {
    fn new(policy: DevicePasswordPolicy) -> Self {
        let secret = Secret::generate(SecretKind::DevicePassword).unwrap();
        let database = Shared(Arc::new(Mutex::new(Some(Some(secret.hash())))));
        let rights = rights();
        let passwords = DevicePasswords::new(policy, Box::new(database.clone()), Arc::clone(&rights), 50);
        Self { door: Door::new(&rights, passwords), database, secret, rights }
    }

    fn set(&self, known: Option<Option<[u8; 32]>>) {
        *self.database.0.lock().unwrap() = known;
    }

    async fn is_refused(&self, username: &str, password: &str, reason: ReasonCode, says: &str) {
        self.door.is_refused(Some(username), password.as_bytes(), reason, says).await;
    }
}

#[tokio::test]
async fn a_password_lets_a_device_in_where_it_stands_for_the_certificate() {
    let case = Case::new(DevicePasswordPolicy::Instead);
    let principal = case.door.knock(Some(DEVICE), case.secret.reveal().as_bytes()).await.unwrap();
    let device = DeviceId::parse(DEVICE).unwrap();
    assert_eq!(principal.identity, case.rights.device_identity(device));
    assert_eq!(principal.certificate_serial, Some(device_password_credential(device.uuid())));
    assert_eq!(principal.presence_topic.unwrap().as_str(), format!("devices/{DEVICE}/presence"));
    case.rights.block(case.rights.device_identity(device));
    let password = case.secret.reveal().to_owned();
    case.is_refused(DEVICE, &password, ReasonCode::BadUserNameOrPassword, "out of service").await;
}

#[tokio::test]
async fn attack_password_of_another_device_or_none() {
    let case = Case::new(DevicePasswordPolicy::Instead);
    let other = Secret::generate(SecretKind::DevicePassword).unwrap();
    let enrolment = Secret::generate(SecretKind::Enrolment).unwrap();
    case.is_refused(DEVICE, other.reveal(), ReasonCode::BadUserNameOrPassword, "another").await;
    case.is_refused(DEVICE, enrolment.reveal(), ReasonCode::BadUserNameOrPassword, "not known").await;
    let stranger = Uuid::from_u128(7).to_string();
    let password = case.secret.reveal().to_owned();
    for username in [stranger.as_str(), "+", "#", "", &DEVICE.to_uppercase()] {
        assert!(case.door.knock(Some(username), password.as_bytes()).await.is_err(), "{username}");
    }
    case.set(Some(None));
    case.is_refused(DEVICE, &password, ReasonCode::BadUserNameOrPassword, "another").await;
}

#[tokio::test]
async fn attack_password_alone_where_it_is_a_second_factor() {
    for policy in [DevicePasswordPolicy::Unused, DevicePasswordPolicy::Beside, DevicePasswordPolicy::Required] {
        let case = Case::new(policy);
        let password = case.secret.reveal().to_owned();
        case.is_refused(DEVICE, &password, ReasonCode::BadUserNameOrPassword, "not known").await;
    }
}

#[tokio::test]
async fn with_the_database_away_what_was_right_before_is_right() {
    let case = Case::new(DevicePasswordPolicy::Instead);
    let password = case.secret.reveal().to_owned();
    case.set(None);
    case.is_refused(DEVICE, &password, ReasonCode::ServerUnavailable, "connection refused").await;
    case.set(Some(Some(case.secret.hash())));
    assert!(case.door.knock(Some(DEVICE), password.as_bytes()).await.is_ok());
    case.set(None);
    assert!(case.door.knock(Some(DEVICE), password.as_bytes()).await.is_ok());
    let other = Secret::generate(SecretKind::DevicePassword).unwrap();
    case.is_refused(DEVICE, other.reveal(), ReasonCode::ServerUnavailable, "connection refused").await;
}
