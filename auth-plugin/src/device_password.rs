//! Passwords of devices: a second factor beside the certificate, or one for devices that have none.
//!
//! A claim makes one, and the phone passes it on to the device: so that a device that was stolen from its owner, or sold on, connects only
//! once its next owner has claimed it. It is a [`Secret`] of 256 bits, of which the database has the hash.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mooring_certs::DeviceId;
use mooring_core::{ConnectAttempt, Principal, Refusal};
use mooring_protocol::{ReasonCode, TopicNameBuf};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::authenticate::{Deciding, Method, bad_credentials, cannot_tell, principal};
use crate::error::Result;
use crate::rights::Rights;
use crate::secret::{Secret, SecretKind, hashes_are_equal};

/// Look-ups at a time: a crowd that connects leaves room in the database for others.
const LOOKUPS_MAX: usize = 32;
/// Devices whose password was right and is remembered, about 100 bytes each.
const REMEMBERED_MAX: usize = 1_000_000;

/// What the password of a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DevicePasswordPolicy {
    /// Nothing: it is not looked at.
    Unused,
    /// It lets a device in that shows no certificate, on the listeners that take passwords.
    #[default]
    Instead,
    /// A device that was given one needs it beside its certificate.
    Beside,
    /// Each device needs one beside its certificate: one that was given none is refused.
    Required,
}

/// The answer of a [`DevicePasswordSource`], when it is there.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<Option<[u8; 32]>>> + Send + 'a>>;

/// Knows the passwords of devices.
pub trait DevicePasswordSource: Send + Sync {
    /// The hash (see [`Secret::hash`]) of the password that a device in service was given; the error when that can't be found out now.
    fn find(&self, device: Uuid) -> Looking<'_>;
}

/// What stands in [`Principal::certificate_serial`] for a connection that such a password alone opened.
#[must_use]
pub fn device_password_credential(device: Uuid) -> Arc<str> {
    format!("device-password:{}", device.as_hyphenated()).into()
}

/// Checks the passwords of devices.
///
/// With the database away, a device whose password was right before is let in with the same again: nobody can have changed it since.
pub struct DevicePasswords {
    policy: DevicePasswordPolicy,
    source: Box<dyn DevicePasswordSource>,
    rights: Arc<Rights>,
    lookups: Semaphore,
    lookup_ms_max: u64,
    remembered: Mutex<HashMap<Uuid, [u8; 32]>>,
}

impl DevicePasswords {
    /// A look-up may take `lookup_ms_max`, with the wait for its turn; then what is remembered decides. `rights` knows which devices are blocked.
    #[must_use]
    pub fn new(
        policy: DevicePasswordPolicy,
        source: Box<dyn DevicePasswordSource>,
        rights: Arc<Rights>,
        lookup_ms_max: u64,
    ) -> Self {
        let lookups = Semaphore::new(LOOKUPS_MAX);
        Self { policy, source, rights, lookups, lookup_ms_max, remembered: Mutex::default() }
    }

    /// Checks the second factor of a device that has shown its certificate.
    pub(crate) async fn check(&self, device: DeviceId, attempt: &ConnectAttempt<'_>) -> Result<(), Refusal> {
        let required = match self.policy {
            DevicePasswordPolicy::Unused | DevicePasswordPolicy::Instead => return Ok(()),
            DevicePasswordPolicy::Beside => false,
            DevicePasswordPolicy::Required => true,
        };
        let names_another = attempt.connect.username.is_some_and(|name| name.parse() != Ok(device.uuid()));
        if names_another {
            return Err(bad_credentials("the user name beside the certificate is not the device's id"));
        }
        let presented = presented(attempt);
        match self.find(device.uuid()).await {
            Ok(Some(known)) => match presented {
                Some(presented) if hashes_are_equal(&presented, &known) => {
                    self.remember(device.uuid(), presented);
                    Ok(())
                }
                Some(_) => Err(bad_credentials("the device's password beside its certificate is wrong")),
                None => Err(bad_credentials("the device's password is missing beside its certificate")),
            },
            Ok(None) if required => Err(bad_credentials("the device has no password yet, and needs one")),
            Ok(None) => Ok(()),
            Err(why) if self.is_remembered(device.uuid(), presented) => {
                tracing::warn!(%device, reason = why, "a device's password is taken as right from memory");
                Ok(())
            }
            Err(why) => Err(cannot_tell(ReasonCode::ServerUnavailable, why)),
        }
    }

    /// Lets a device in that has no certificate to show.
    async fn instead(
        &self,
        device: DeviceId,
        presented: [u8; 32],
        attempt: &ConnectAttempt<'_>,
    ) -> Result<Principal, Refusal> {
        match self.find(device.uuid()).await {
            Ok(Some(known)) if hashes_are_equal(&presented, &known) => self.remember(device.uuid(), presented),
            Ok(_) => return Err(bad_credentials("the device is unknown, out of service, or its password is another")),
            Err(_) if self.is_remembered(device.uuid(), Some(presented)) => {}
            Err(why) => return Err(cannot_tell(ReasonCode::ServerUnavailable, why)),
        }
        let identity = self.rights.device_identity(device);
        if self.rights.is_blocked(&identity) {
            return Err(bad_credentials("the device is out of service"));
        }
        let presence_topic = TopicNameBuf::parse(&format!("devices/{device}/presence")).ok();
        Ok(principal(identity, Some(device_password_credential(device.uuid())), presence_topic, attempt))
    }

    /// The error says why that can't be found out.
    async fn find(&self, device: Uuid) -> std::result::Result<Option<[u8; 32]>, String> {
        let found = timeout(Duration::from_millis(self.lookup_ms_max), async {
            // The semaphore is never closed.
            let _turn = self.lookups.acquire().await;
            self.source.find(device).await
        });
        match found.await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("the look-up of the device's password took too long".to_owned()),
        }
    }

    fn remember(&self, device: Uuid, hash: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() < REMEMBERED_MAX || remembered.contains_key(&device) {
            remembered.insert(device, hash);
        }
    }

    fn is_remembered(&self, device: Uuid, presented: Option<[u8; 32]>) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.get(&device);
        presented.zip(known).is_some_and(|(presented, known)| hashes_are_equal(&presented, known))
    }
}

/// The hash of what was presented, when it has the form of such a password.
fn presented(attempt: &ConnectAttempt<'_>) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(attempt.connect.password?).ok()?;
    Secret::parse(SecretKind::DevicePassword, text).map(|secret| secret.hash())
}

impl Method for DevicePasswords {
    /// Decides on every password that looks like a device's: no other method takes it for a password of its own.
    fn decide<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Deciding<'a> {
        Box::pin(async move {
            if self.policy != DevicePasswordPolicy::Instead {
                return None;
            }
            let text = attempt.connect.password.and_then(|password| std::str::from_utf8(password).ok())?;
            if !text.starts_with(SecretKind::DevicePassword.prefix()) {
                return None;
            }
            let device = attempt.connect.username.and_then(|name| DeviceId::parse(name).ok());
            Some(match device.zip(presented(&attempt)) {
                Some((device, presented)) => self.instead(device, presented, &attempt).await,
                None => Err(bad_credentials("no id of a device as user name, or no password of one")),
            })
        })
    }
}

impl fmt::Debug for DevicePasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePasswords").field("policy", &self.policy).finish_non_exhaustive()
    }
}
