//! What follows when rights change: the rights in memory, live subscriptions, streams, and commands that wait, all at once.

use std::sync::Arc;

use mooring_auth::{Grant as Right, Rights, Role};
use mooring_certs::DeviceId;
use mooring_core::{Access as _, Identity, Principal};
use mooring_protocol::{TopicFilter, TopicName, TopicNameBuf};
use mooring_server::{Node, Publish};
use mooring_store::{Grant, OrganisationRole, Store};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{CommandDesk, Problem, StreamDesk};

/// Brings changes of the database into force. Cheap to clone.
#[derive(Clone)]
pub struct Sharing {
    /// The database.
    pub store: Store,
    /// The broker.
    pub node: Node,
    /// Rights over topics.
    pub rights: Arc<Rights>,
    /// Commands that wait for their answers.
    pub commands: Arc<CommandDesk>,
    /// Streams of events.
    pub streams: Arc<StreamDesk>,
}

impl Sharing {
    /// Grants begin, or have changed.
    pub fn put_in_force(&self, held: &[Grant]) {
        let rights = held.iter().filter_map(right_of);
        self.tell(rights.flat_map(|right| self.rights.grant(right)).collect());
    }

    /// Grants have ended.
    pub fn take_back(&self, held: &[Grant]) {
        self.tell(held.iter().flat_map(|grant| self.rights.revoke_grant(grant.id_of_holder())).collect());
    }

    /// Ends the grants whose date has come. To be called about once a second.
    pub fn expire_grants(&self) {
        let concerned = self.rights.expire_grants();
        if !concerned.is_empty() {
            self.tell(concerned);
        }
    }

    /// A device has another owner, or none.
    pub fn owner_changed(&self, device: Uuid, owner: Option<Uuid>) {
        self.tell(self.rights.set_owner(DeviceId::from(device), owner));
    }

    /// Somebody joined an organisation, or left it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn membership_changed(
        &self,
        organisation: Uuid,
        user: Uuid,
        role: Option<OrganisationRole>,
    ) -> Result<(), Problem> {
        let now = OffsetDateTime::now_utc();
        let held = self.store.holders_by_organisation(organisation, now).await?;
        if role.is_some() {
            self.put_in_force(&held.into_iter().filter(|grant| grant.user == user).collect::<Vec<_>>());
            return Ok(());
        }
        // Who has left holds nothing any more: the ids follow from the grants that the others hold.
        let mut grants: Vec<Uuid> = held.iter().map(|grant| grant.id).collect();
        grants.dedup();
        let parts = grants.iter().map(|grant| mooring_store::id_of_grant_holder(*grant, user));
        self.tell(parts.flat_map(|id| self.rights.revoke_grant(id)).collect());
        Ok(())
    }

    /// Whether a person may, by what is in memory: exactly what MQTT would say.
    pub(crate) fn may_command(&self, user: Uuid, device: Uuid, name: &str) -> bool {
        let topic = format!("devices/{device}/commands/{name}");
        match (self.person(user), TopicName::parse(&topic)) {
            (Some(person), Ok(topic)) => self.rights.publish(&person, topic).allow,
            _ => false,
        }
    }

    /// Whether a person may hear a topic.
    pub(crate) fn may_hear(&self, user: Uuid, topic: &str) -> bool {
        match (self.person(user), TopicFilter::parse(topic)) {
            (Some(person), Ok(topic)) => self.rights.subscribe(&person, topic).allow,
            _ => false,
        }
    }

    fn person(&self, user: Uuid) -> Option<Principal> {
        Some(Principal {
            identity: self.rights.person_identity(user)?,
            client_id: None,
            certificate_serial: None,
            presence_topic: None,
            address: "".into(),
            listener: "https".into(),
        })
    }

    fn tell(&self, mut identities: Vec<Identity>) {
        identities.sort();
        identities.dedup();
        for identity in &identities {
            self.node.access_changed(Some(identity));
        }
        self.commands.withdraw(|user, device, name| self.may_command(user, device, name));
        self.streams.rights_changed();
    }

    /// Removes what is retained for a device, so that its next owner does not find it; gives the topics. Presence stays: it is the broker's word.
    pub(crate) async fn purge_retained(&self, device: Uuid) -> Vec<String> {
        let mut purged = Vec::new();
        for rest in ["state/desired", "state/reported", "update", "certificate"] {
            let topic = format!("devices/{device}/{rest}");
            if self.node.retained(&topic).await.is_none() {
                continue;
            }
            // [MQTT-3.3.1-6] an empty payload removes what is retained.
            let Ok(name) = TopicNameBuf::parse(&topic) else { continue };
            if self.node.publish(Publish { retain: true, ..Publish::new(name, Vec::new()) }).await.is_ok() {
                purged.push(topic);
            }
        }
        purged
    }
}

/// A grant as the rights have it; one with a role or scope that is not known gives none.
fn right_of(grant: &Grant) -> Option<Right> {
    let role = Role::from_names(grant.role.as_str(), &grant.scopes)?;
    let until = grant.until.map(|until| u64::try_from(until.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
    Some(Right {
        id: grant.id_of_holder(),
        user: grant.user,
        device: DeviceId::from(grant.device),
        role,
        until_unix_ms: until,
    })
}
