//! What a caller may do with one device, and the record of what technicians did with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use mooring_auth::Scope as TechnicianScope;
use mooring_certs::DeviceId;
use mooring_store::{Access, Device, EventKind, Grant, GrantRole, Store};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{ApiContext, Problem};

/// What is wanted of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// See that it is there: anybody with a part in it.
    See,
    /// See what it says on topics of this kind.
    Hear(EventKind),
    /// Send this command.
    Command(&'a str),
    /// Change its desired state: owner and members.
    Steer,
    /// Rename it, share it, give it away: the owner alone.
    Own,
}

/// By what right somebody has to do with a device.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Operator,
    Owner,
    Member,
    Guest,
    /// By these grants, each with scopes of its own.
    Technician(Vec<Grant>),
}

impl Part {
    /// Of these grants the widest role counts; a technician has all scopes of all grants.
    pub(crate) fn of_grants(grants: Vec<Grant>) -> Option<Self> {
        let has = |role| grants.iter().any(|grant| grant.role == role);
        match (has(GrantRole::Member), has(GrantRole::Guest), grants.is_empty()) {
            (_, _, true) => None,
            (true, _, _) => Some(Self::Member),
            (_, true, _) => Some(Self::Guest),
            _ => Some(Self::Technician(grants)),
        }
    }

    /// The name of the part, as lists show it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Member => "member",
            Self::Guest => "guest",
            Self::Technician(_) => "technician",
        }
    }

    pub(crate) fn may(&self, wish: Wish<'_>) -> bool {
        match (self, wish) {
            (Self::Operator | Self::Owner, _) | (_, Wish::See) => true,
            (Self::Member, Wish::Own) | (_, Wish::Own) => false,
            (Self::Member, _) | (Self::Guest, Wish::Hear(_)) => true,
            (Self::Guest, _) => false,
            (Self::Technician(grants), wish) => grants.iter().any(|grant| scopes_allow(&grant.scopes, wish)),
        }
    }

    /// The grant by which a technician may; the first, when it is more than one.
    fn grant_for(&self, wish: Wish<'_>) -> Option<Uuid> {
        let Self::Technician(grants) = self else { return None };
        let by = grants.iter().find(|grant| wish == Wish::See || scopes_allow(&grant.scopes, wish));
        by.map(|grant| grant.id)
    }
}

fn scopes_allow(scopes: &[String], wish: Wish<'_>) -> bool {
    let allows = |scope: TechnicianScope| match (wish, scope) {
        (Wish::Command(_), TechnicianScope::CommandsSend) => true,
        (Wish::Command(name), TechnicianScope::Command(allowed)) => *allowed == *name,
        (Wish::Hear(kind), scope) => scope_for(kind) == scope,
        _ => false,
    };
    scopes.iter().filter_map(|scope| TechnicianScope::from_name(scope)).any(allows)
}

/// The scope with which a technician hears what is said on topics of a kind.
fn scope_for(kind: EventKind) -> TechnicianScope {
    match kind {
        EventKind::Telemetry => TechnicianScope::TelemetryRead,
        EventKind::Event => TechnicianScope::EventsRead,
        EventKind::Log => TechnicianScope::LogsRead,
        EventKind::State => TechnicianScope::StateRead,
        EventKind::Presence => TechnicianScope::PresenceRead,
        EventKind::Command | EventKind::CommandResult => TechnicianScope::CommandsRead,
        EventKind::UpdateStatus => TechnicianScope::UpdateRead,
    }
}

/// A device together with what the caller may do with it. The guard of the route has looked it up.
#[derive(Clone, Debug)]
pub(crate) struct DeviceAccess {
    pub(crate) device: Device,
    pub(crate) part: Part,
}

impl DeviceAccess {
    /// Refuses what this part does not include. Whoever has a part knows that the device is there, so the answer may say why.
    pub(crate) fn require(&self, wish: Wish<'_>) -> Result<(), Problem> {
        if self.part.may(wish) {
            return Ok(());
        }
        Err(Problem::forbidden(match wish {
            Wish::Own => "Only the owner of the device may do this.".to_owned(),
            Wish::Command(name) => format!("You are a {} of this device, and may not send {name:?}.", self.part.name()),
            Wish::Hear(kind) => format!("Your part in this device does not include its {}.", kind.as_str()),
            Wish::Steer | Wish::See => format!("You are a {} of this device, and see it only.", self.part.name()),
        }))
    }

    /// The kinds of events that the caller may see.
    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        EventKind::ALL.into_iter().filter(|kind| self.part.may(Wish::Hear(*kind))).collect()
    }

    /// The oldest time that the caller may look back to: what was before the present owner is that one's alone.
    pub(crate) fn from(&self, asked: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
        match self.part {
            Part::Operator => asked,
            _ => asked.max(self.device.history_from),
        }
    }

    /// Since when grants, invites and accesses are the present owner's.
    pub(crate) fn since(&self) -> OffsetDateTime {
        let claimed = if matches!(self.part, Part::Operator) { None } else { self.device.claimed_at };
        claimed.unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Puts a technician's access on record, before it is answered.
    pub(crate) async fn note(
        &self,
        context: &ApiContext,
        user: Uuid,
        wish: Wish<'_>,
        what: &str,
    ) -> Result<(), Problem> {
        let Some(grant) = self.part.grant_for(wish) else { return Ok(()) };
        let access = Access::new(self.device.id, user, grant, what, OffsetDateTime::now_utc());
        Ok(context.accesses.note(&context.store, access).await?)
    }
}

/// Keeps the record of accesses. What was noted in this minute is not written again.
#[derive(Debug)]
pub struct AccessLog {
    noted: Mutex<HashSet<Access>>,
    live: mpsc::Sender<(Uuid, Uuid, String)>,
}

/// Accesses that are remembered at a time; beyond it they are written again, which changes nothing.
const NOTED_MAX: usize = 50_000;
/// Accesses over MQTT that wait to be written.
const LIVE_MAX: usize = 10_000;

impl AccessLog {
    /// Begins to keep the record, of MQTT and streams, too: `rights` tells what technicians are allowed there.
    #[must_use]
    pub fn open(store: &Store, rights: &mooring_auth::Rights) -> Arc<Self> {
        let (live, waiting) = mpsc::channel(LIVE_MAX);
        let log = Arc::new(Self { noted: Mutex::default(), live });
        let watch = Arc::clone(&log);
        rights.watch_technicians(move |user, device, what| watch.hear(user, device, what));
        tokio::spawn(Arc::clone(&log).write_live(store.clone(), waiting));
        log
    }

    /// Notes an access, unless the same of this minute is noted.
    pub(crate) async fn note(&self, store: &Store, access: Access) -> Result<(), mooring_store::StoreError> {
        if self.is_noted(&access) {
            return Ok(());
        }
        store.record_access(&access).await?;
        self.remember(access);
        Ok(())
    }

    /// Asked under the rights' lock, for each verdict: neither waits nor looks anything up.
    fn hear(&self, user: Uuid, device: DeviceId, what: &str) {
        // The topic and person stand in for the grant, which is looked up when it is written.
        let key = Access::new(device.uuid(), user, Uuid::nil(), what, OffsetDateTime::now_utc());
        if self.is_noted(&key) {
            return;
        }
        self.remember(key);
        if self.live.try_send((user, device.uuid(), what.to_owned())).is_err() {
            metrics::counter!("mooring_accesses_lost_total").increment(1);
        }
    }

    async fn write_live(self: Arc<Self>, store: Store, mut waiting: mpsc::Receiver<(Uuid, Uuid, String)>) {
        while let Some((user, device, what)) = waiting.recv().await {
            let now = OffsetDateTime::now_utc();
            let written = async {
                let grants = store.grants_of_user_on(user, device, now).await?;
                match grants.iter().find(|grant| grant.role == GrantRole::Technician) {
                    Some(grant) => {
                        self.note(&store, Access::new(device, user, grant.id, format!("live:{what}"), now)).await
                    }
                    None => Ok(()),
                }
            };
            if let Err(error) = written.await {
                metrics::counter!("mooring_accesses_lost_total").increment(1);
                tracing::warn!(%error, %device, "an access of a technician could not be recorded");
            }
        }
    }

    fn is_noted(&self, access: &Access) -> bool {
        self.lock().contains(access)
    }

    fn remember(&self, access: Access) {
        let mut noted = self.lock();
        if noted.len() >= NOTED_MAX {
            noted.retain(|other| other.minute == access.minute);
        }
        if noted.len() < NOTED_MAX {
            noted.insert(access);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Access>> {
        // Each change is one call: a panic elsewhere leaves the set whole.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn technician(scopes: &[&str]) -> Part {
        let grant = Grant {
            id: Uuid::nil(),
            device: Uuid::nil(),
            user: Uuid::nil(),
            organisation: None,
            role: GrantRole::Technician,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            until: None,
            created_by: Uuid::nil(),
            reason: String::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            ended_at: None,
        };
        Part::of_grants(vec![grant]).unwrap()
    }

    #[test]
    fn a_part_includes_what_it_says_and_no_more() {
        let check =
            |part: &Part, wish: Wish<'_>, allowed: bool| assert_eq!(part.may(wish), allowed, "{part:?} {wish:?}");
        let telemetry = Wish::Hear(EventKind::Telemetry);
        for (part, see, hear, command, steer, own) in [
            (Part::Owner, true, true, true, true, true),
            (Part::Operator, true, true, true, true, true),
            (Part::Member, true, true, true, true, false),
            (Part::Guest, true, true, false, false, false),
            (technician(&[]), true, false, false, false, false),
            (technician(&["telemetry:read"]), true, true, false, false, false),
            (technician(&["logs:read"]), true, false, false, false, false),
            (technician(&["commands:send"]), true, false, true, false, false),
            (technician(&["command:start"]), true, false, true, false, false),
            (technician(&["command:stop", "telemetry:read"]), true, true, false, false, false),
        ] {
            check(&part, Wish::See, see);
            check(&part, telemetry, hear);
            check(&part, Wish::Command("start"), command);
            check(&part, Wish::Steer, steer);
            check(&part, Wish::Own, own);
        }
    }
}
