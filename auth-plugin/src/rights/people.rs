//! Who owns what, whom they let in, and which clients are whose.

use std::collections::{BTreeSet, HashMap, HashSet};

use mooring_certs::DeviceId;
use mooring_core::Identity;
use uuid::Uuid;

use super::grant::Grant;

/// The maps behind the rights of people. Methods that change a right name the users concerned.
#[derive(Debug, Default)]
pub(super) struct People {
    owners: HashMap<DeviceId, Uuid>,
    /// By user and device, since that is how it is asked.
    grants: HashMap<(Uuid, DeviceId), Vec<Grant>>,
    grants_by_id: HashMap<Uuid, (Uuid, DeviceId)>,
    grants_by_device: HashMap<DeviceId, HashSet<Uuid>>,
    /// When each grant that ends by itself does.
    ends: BTreeSet<(u64, Uuid)>,
    users: HashMap<Identity, Uuid>,
    identities: HashMap<Uuid, Vec<Identity>>,
    operators: HashSet<Identity>,
    pub(super) blocked: HashSet<Identity>,
}

/// One reason for which a user has a part in a device.
pub(super) enum Right<'a> {
    Owner,
    Grant(&'a Grant),
}

impl People {
    /// What gives this user a part in this device; grants whose date has come are among it until they are expired.
    pub(super) fn rights(&self, user: Uuid, device: DeviceId) -> impl Iterator<Item = Right<'_>> {
        let owner = (self.owners.get(&device) == Some(&user)).then_some(Right::Owner);
        let grants = self.grants.get(&(user, device)).into_iter().flatten().map(Right::Grant);
        owner.into_iter().chain(grants)
    }

    pub(super) fn set_owners(&mut self, ownerships: impl IntoIterator<Item = (DeviceId, Uuid)>) {
        self.owners = ownerships.into_iter().collect();
    }

    /// A device that changes hands takes no grant along: a guest of the seller is none of the buyer.
    pub(super) fn set_owner(&mut self, device: DeviceId, owner: Option<Uuid>) -> Vec<Uuid> {
        let before = match owner {
            Some(owner) => self.owners.insert(device, owner),
            None => self.owners.remove(&device),
        };
        let mut concerned: Vec<Uuid> = owner.into_iter().chain(before).collect();
        if before != owner {
            let grants = self.grants_by_device.get(&device).cloned().unwrap_or_default();
            concerned.extend(grants.into_iter().flat_map(|grant| self.revoke_grant(grant)));
        }
        concerned
    }

    pub(super) fn set_grants(&mut self, grants: impl IntoIterator<Item = Grant>) {
        self.grants.clear();
        self.grants_by_id.clear();
        self.grants_by_device.clear();
        self.ends.clear();
        for grant in grants {
            self.grant(grant);
        }
    }

    pub(super) fn grant(&mut self, grant: Grant) -> Vec<Uuid> {
        let mut concerned = self.revoke_grant(grant.id);
        concerned.push(grant.user);
        let key = (grant.user, grant.device);
        self.grants_by_id.insert(grant.id, key);
        self.grants_by_device.entry(grant.device).or_default().insert(grant.id);
        self.ends.extend(grant.until_unix_ms.map(|until| (until, grant.id)));
        self.grants.entry(key).or_default().push(grant);
        concerned
    }

    pub(super) fn revoke_grant(&mut self, id: Uuid) -> Vec<Uuid> {
        let Some(key) = self.grants_by_id.remove(&id) else { return Vec::new() };
        let (user, device) = key;
        if let Some(held) = self.grants.get_mut(&key) {
            for grant in held.extract_if(.., |grant| grant.id == id) {
                self.ends.remove(&(grant.until_unix_ms.unwrap_or_default(), id));
            }
            if held.is_empty() {
                self.grants.remove(&key);
            }
        }
        if let Some(ids) = self.grants_by_device.get_mut(&device) {
            ids.remove(&id);
            if ids.is_empty() {
                self.grants_by_device.remove(&device);
            }
        }
        vec![user]
    }

    pub(super) fn has_ended_grants(&self, now_unix_ms: u64) -> bool {
        self.ends.first().is_some_and(|(until, _)| *until <= now_unix_ms)
    }

    pub(super) fn expire_grants(&mut self, now_unix_ms: u64) -> Vec<Uuid> {
        let mut concerned = Vec::new();
        while let Some(&(until, id)) = self.ends.first()
            && until <= now_unix_ms
        {
            concerned.extend(self.revoke_grant(id));
            self.ends.remove(&(until, id));
        }
        concerned
    }

    pub(super) fn bind(&mut self, identity: Identity, user: Uuid) {
        self.unbind(&identity);
        self.identities.entry(user).or_default().push(identity.clone());
        self.users.insert(identity, user);
    }

    pub(super) fn unbind(&mut self, identity: &Identity) {
        let Some(user) = self.users.remove(identity) else { return };
        if let Some(identities) = self.identities.get_mut(&user) {
            identities.retain(|bound| bound != identity);
        }
    }

    /// Whose client this identity was said to be.
    pub(super) fn user_of(&self, identity: &Identity) -> Option<Uuid> {
        self.users.get(identity).copied()
    }

    pub(super) fn bound_to(&self, user: Uuid) -> impl Iterator<Item = Identity> {
        self.identities.get(&user).into_iter().flatten().cloned()
    }

    pub(super) fn set_operator(&mut self, identity: Identity, operator: bool) {
        if operator {
            self.operators.insert(identity);
        } else {
            self.operators.remove(&identity);
        }
    }

    pub(super) fn is_operator(&self, identity: &Identity) -> bool {
        self.operators.contains(identity)
    }
}
