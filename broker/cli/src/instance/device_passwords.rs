//! Passwords of devices, from the database: made by a claim where `claims.device_password` says so, or by `mooring device password`.

use mooring_auth::device_password::Looking;
use mooring_auth::{AuthError, DevicePasswordSource};
use mooring_store::Store;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Looked up on the runtime that serves the database: a shard's thread waits for none of its sockets.
pub(super) struct StoredDevicePasswords {
    pub(super) store: Store,
    pub(super) runtime: Handle,
}

impl DevicePasswordSource for StoredDevicePasswords {
    fn find(&self, device: Uuid) -> Looking<'_> {
        let store = self.store.clone();
        let found = self.runtime.spawn(async move { store.device_password(device).await });
        Box::pin(async move {
            match found.await {
                Ok(Ok(hash)) => Ok(hash),
                Ok(Err(error)) => Err(AuthError::DevicePasswordsAway(error.to_string())),
                Err(error) => Err(AuthError::DevicePasswordsAway(error.to_string())),
            }
        })
    }
}
