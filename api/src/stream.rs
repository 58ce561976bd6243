//! Streams of events to people: who listens to which devices, and what reaches them.
//!
//! One follower reads the events of the log in their order and gives each to the streams that listen to its device. A stream that does not keep up
//! is ended, and goes on from the event store when it comes again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_core::message::SharedMessage;
use mooring_server::Node;
use mooring_store::EventKind;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::Problem;

/// Streams at a time, and of one person.
const STREAMS_MAX: usize = 1_000;
const STREAMS_PER_USER_MAX: usize = 8;
/// Events that wait for one stream.
const WAITING_MAX: usize = 512;
/// What the follower reads at a time.
const BATCH_EVENTS: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// An event on its way to streams.
#[derive(Clone, Debug)]
pub(crate) struct LiveEvent {
    pub(crate) position: u64,
    pub(crate) message: SharedMessage,
}

/// Gives events to the streams that listen.
pub struct StreamDesk {
    source: String,
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    /// Events before this position were given out, or nobody listened.
    position: u64,
    streams: BTreeMap<u64, Registered>,
    by_device: HashMap<Uuid, BTreeSet<u64>>,
}

struct Registered {
    user: Uuid,
    devices: BTreeSet<Uuid>,
    /// Gone when the stream did not keep up: its receiver ends then.
    sender: Option<mpsc::Sender<LiveEvent>>,
}

/// A stream's place at the desk. It leaves when this is dropped.
pub(crate) struct Listening {
    desk: Arc<StreamDesk>,
    id: u64,
    /// Events from this position on come live.
    pub(crate) position: u64,
    pub(crate) events: mpsc::Receiver<LiveEvent>,
    pub(crate) changes: watch::Receiver<u64>,
}

impl StreamDesk {
    /// Begins to follow the events of a node; `source` names its log in the database.
    #[must_use]
    pub fn open(node: &Node, source: &str) -> Arc<Self> {
        let inner = Inner { position: node.event_reader().end(), ..Inner::default() };
        let (changes, _) = watch::channel(0);
        let desk = Arc::new(Self { source: source.to_owned(), inner: Mutex::new(inner), changes });
        tokio::spawn(Arc::clone(&desk).follow(node.clone()));
        desk
    }

    /// The name of the log in the database.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Tells every stream that rights have changed, so that it looks at once whether it may go on.
    pub fn rights_changed(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Takes a place for a user's stream of these devices.
    pub(crate) fn listen(self: &Arc<Self>, user: Uuid, devices: BTreeSet<Uuid>) -> Result<Listening, Problem> {
        let changes = self.changes.subscribe();
        let mut inner = self.lock();
        let of_user = inner.streams.values().filter(|stream| stream.user == user).count();
        if of_user >= STREAMS_PER_USER_MAX || inner.streams.len() >= STREAMS_MAX {
            let text = "Too many streams are open: end one, then try again.";
            return Err(Problem::too_many_requests(text).retry_after(5));
        }
        let id = inner.next_id;
        inner.next_id += 1;
        let (sender, events) = mpsc::channel(WAITING_MAX);
        for device in &devices {
            inner.by_device.entry(*device).or_default().insert(id);
        }
        inner.streams.insert(id, Registered { user, devices, sender: Some(sender) });
        let position = inner.position;
        drop(inner);
        Ok(Listening { desk: Arc::clone(self), id, position, events, changes })
    }

    async fn follow(self: Arc<Self>, node: Node) {
        let reader = node.event_reader();
        loop {
            let from = self.lock().position;
            node.events_appended(from).await;
            if self.skip_when_idle(reader.end()) {
                continue;
            }
            let (read, from) = (reader.clone(), from);
            let batch = tokio::task::spawn_blocking(move || read.next(from, BATCH_EVENTS, BATCH_BYTES)).await;
            match batch {
                Ok(Ok(batch)) => {
                    let stuck = batch.next == from;
                    self.give_out(batch.events, batch.next);
                    if stuck {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the streams can't read the log");
                    tokio::time::sleep(PAUSE).await;
                }
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    /// Nobody listens: what happened meanwhile is in the event store for those who come.
    fn skip_when_idle(&self, end: u64) -> bool {
        let mut inner = self.lock();
        let is_idle = inner.streams.is_empty();
        if is_idle {
            inner.position = inner.position.max(end);
        }
        is_idle
    }

    fn give_out(&self, events: Vec<(u64, SharedMessage)>, next: u64) {
        let mut inner = self.lock();
        for (position, message) in events {
            let Some((device, _)) = Place::of(message.topic.as_str()).map(|place| (place.device, place.kind)) else {
                continue;
            };
            let Some(ids) = inner.by_device.get(&device).cloned() else { continue };
            for id in ids {
                let Some(stream) = inner.streams.get_mut(&id) else { continue };
                let event = LiveEvent { position, message: Arc::clone(&message) };
                if stream.sender.as_ref().is_some_and(|sender| sender.try_send(event).is_err()) {
                    stream.sender = None;
                }
            }
        }
        inner.position = inner.position.max(next);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change leaves the maps whole enough: a stream that is in one and not in the other hears nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After an error, or when there was less to read than was told.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl Listening {
    /// Listens to these devices from now on.
    pub(crate) fn set_devices(&self, devices: &BTreeSet<Uuid>) {
        let mut inner = self.desk.lock();
        let Some(stream) = inner.streams.get_mut(&self.id) else { return };
        let before = std::mem::replace(&mut stream.devices, devices.clone());
        for device in before.difference(devices) {
            forget(&mut inner, *device, self.id);
        }
        for device in devices.difference(&before) {
            inner.by_device.entry(*device).or_default().insert(self.id);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut inner = self.desk.lock();
        let Some(stream) = inner.streams.remove(&self.id) else { return };
        for device in stream.devices {
            forget(&mut inner, device, self.id);
        }
    }
}

fn forget(inner: &mut Inner, device: Uuid, id: u64) {
    if let Some(ids) = inner.by_device.get_mut(&device) {
        ids.remove(&id);
        if ids.is_empty() {
            inner.by_device.remove(&device);
        }
    }
}

/// What a device's topic says of the message on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) device: Uuid,
    pub(crate) kind: EventKind,
    pub(crate) name: Option<String>,
    pub(crate) request: Option<Uuid>,
}

impl Place {
    /// Of the topics that people hear of.
    pub(crate) fn of(topic: &str) -> Option<Self> {
        let mut levels = topic.split('/');
        let device = (levels.next() == Some("devices")).then(|| levels.next())??.parse().ok()?;
        let rest: Vec<&str> = levels.collect();
        let (kind, name, request) = match rest.as_slice() {
            ["telemetry"] => (EventKind::Telemetry, None, None),
            ["events", name] => (EventKind::Event, Some(*name), None),
            ["logs"] => (EventKind::Log, None, None),
            ["state", "reported"] => (EventKind::State, None, None),
            ["presence"] => (EventKind::Presence, None, None),
            ["commands", name, "result", request] => (EventKind::CommandResult, Some(*name), request.parse().ok()),
            ["update", "status"] => (EventKind::UpdateStatus, None, None),
            _ => return None,
        };
        Some(Self { device, kind, name: name.map(str::to_owned), request })
    }

    /// The topic again, to ask for rights over it.
    pub(crate) fn topic(&self) -> String {
        let Self { device, kind, name, request } = self;
        let name = name.as_deref().unwrap_or_default();
        match kind {
            EventKind::Telemetry => format!("devices/{device}/telemetry"),
            EventKind::Event => format!("devices/{device}/events/{name}"),
            EventKind::Log => format!("devices/{device}/logs"),
            EventKind::State => format!("devices/{device}/state/reported"),
            EventKind::Presence => format!("devices/{device}/presence"),
            EventKind::Command => format!("devices/{device}/commands/{name}"),
            EventKind::CommandResult => {
                format!("devices/{device}/commands/{name}/result/{}", request.unwrap_or_default())
            }
            EventKind::UpdateStatus => format!("devices/{device}/update/status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_topic() {
        let (device, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for rest in ["telemetry", "events/door", "logs", "state/reported", "presence", "update/status"] {
            let topic = format!("devices/{device}/{rest}");
            assert_eq!(Place::of(&topic).unwrap().topic(), topic);
        }
        let topic = format!("devices/{device}/commands/start/result/{request}");
        assert_eq!(Place::of(&topic).unwrap().topic(), topic);
        for topic in ["devices", "devices/x/logs", "other/1", "devices/1"] {
            assert_eq!(Place::of(topic), None, "{topic}");
        }
    }
}
