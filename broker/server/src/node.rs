//! The server as other parts of the same process use it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mooring_core::message::{MessageProperties, SharedMessage};
use mooring_core::{Counters, Identity, Limits, ServicePublish, SessionInfo, SessionSelector, home_of_topic};
use mooring_log::EventReader;
use mooring_protocol::{QoS, ReasonCode, TopicFilterBuf, TopicNameBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use crate::config::{ConnectionLimits, ListenerConfig, ListenerKind};
use crate::error::NodeError;
use crate::handover::{Accepted, Entry, Inspected, LogInput, ShardInput, Shared, Upgraded, ip_of};
use crate::mailbox::Mailbox;
use crate::stream::PortableStream;
use crate::taps::MessageStream;
use crate::timeline::TimelineEntry;

/// A running server. Cheap to clone, usable from any thread and any tokio runtime.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    events: EventReader,
}

/// A message that a service publishes, by the authority of the broker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub topic: TopicNameBuf,
    /// What.
    pub payload: Vec<u8>,
    /// At which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Expiry in seconds.
    pub message_expiry_s: Option<u32>,
    /// Properties to send along.
    pub properties: MessageProperties,
}

impl Publish {
    /// A QoS 1 message, not retained, without expiry and properties.
    #[must_use]
    pub fn new(topic: TopicNameBuf, payload: impl Into<Vec<u8>>) -> Self {
        let properties = MessageProperties::default();
        Self {
            topic,
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: None,
            properties,
        }
    }
}

impl Node {
    pub(crate) fn new(shared: Arc<Shared>, events: EventReader) -> Self {
        Self { shared, events }
    }

    /// Publishes; done once the message is as safe as a PUBACK promises. Returns how many subscribers are known to get it: at least those on the
    /// shard that accepted it. Messages of one topic stay in order when each is awaited, or all come from one task.
    pub async fn publish(&self, publish: Publish) -> Result<usize, NodeError> {
        let mailbox = self.mailbox_of(publish.topic.as_str())?;
        let (done, receivers) = oneshot::channel();
        let publish = ServicePublish {
            topic: publish.topic,
            payload: publish.payload.into_boxed_slice(),
            qos: publish.qos,
            retain: publish.retain,
            message_expiry_s: publish.message_expiry_s,
            properties: publish.properties,
            // The shard numbers it.
            token: 0,
        };
        self.push(mailbox, ShardInput::Publish(Box::new(publish), done))?;
        receivers.await.map_err(|_| self.shared.gone())
    }

    /// Listens to every message that any shard accepts from now on and that matches. A stream that lags drops and counts.
    ///
    /// Engines keep a filter for good: take one stream for a purpose, not one for a request.
    #[must_use]
    pub fn subscribe(&self, filters: Vec<TopicFilterBuf>) -> MessageStream {
        for mailbox in &self.shared.shards {
            // A shard that is gone accepts no messages.
            let _ = mailbox.push(ShardInput::Tap(filters.clone()));
        }
        self.shared.taps.subscribe(filters)
    }

    /// Every session of every shard.
    pub async fn sessions(&self) -> Vec<SessionInfo> {
        self.inspect(|inspected| inspected.engine.sessions()).await.into_iter().flatten().collect()
    }

    /// The retained message of a topic.
    pub async fn retained(&self, topic: &str) -> Option<SharedMessage> {
        let mailbox = self.shared.shards.first()?;
        let topic = topic.to_owned();
        self.inspect_one(mailbox, move |inspected| inspected.engine.retained(&topic)).await.flatten()
    }

    /// The topics at a path (`devices/<id>`) and below it where a message is retained.
    pub async fn retained_topics_below(&self, path: &str) -> Vec<TopicNameBuf> {
        let Some(mailbox) = self.shared.shards.first() else { return Vec::new() };
        let path = path.to_owned();
        let topics = self.inspect_one(mailbox, move |inspected| inspected.engine.retained_topics_below(&path)).await;
        topics.unwrap_or_default()
    }

    /// Ends connections with a reason that 5.0 clients are told; with `purge`, their sessions and all that belongs to them too. Returns how many connections ended.
    pub async fn disconnect(&self, selector: SessionSelector, reason: ReasonCode, why: &str, purge: bool) -> usize {
        self.shared.disconnects.fetch_add(1, Ordering::SeqCst);
        let why: Arc<str> = Arc::from(why);
        let mut answers = Vec::with_capacity(self.shared.shards.len());
        for mailbox in &self.shared.shards {
            let (ended, answer) = oneshot::channel();
            let (selector, why) = (selector.clone(), Arc::clone(&why));
            if mailbox.push(ShardInput::Disconnect { selector, reason, why, purge, ended }).is_ok() {
                answers.push(answer);
            }
        }
        sum(answers).await
    }

    /// Rights of one identity, or of all with `None`, have changed: live subscriptions that are no longer allowed end.
    pub fn access_changed(&self, identity: Option<&Identity>) {
        for mailbox in &self.shared.shards {
            // A shard that is gone has no subscriptions.
            let _ = mailbox.push(ShardInput::AccessChanged(identity.cloned()));
        }
    }

    /// New limits of connections, for those that come from now on; what is set on a listener's socket stays as it was.
    pub fn set_connection_limits(&self, limits: &ConnectionLimits) {
        self.shared.admission.set_limits(limits.clone());
    }

    /// New limits for what comes from now on.
    pub fn set_limits(&self, limits: &Limits) {
        for mailbox in &self.shared.shards {
            let _ = mailbox.push(ShardInput::Limits(Box::new(limits.clone())));
        }
    }

    /// What happened lately to the sessions with this client id or identity, oldest first.
    pub async fn timeline(&self, client_id_or_identity: &str) -> Vec<TimelineEntry> {
        let name: Arc<str> = Arc::from(client_id_or_identity);
        let of_shards = self.inspect(move |inspected| inspected.timeline.of(&name)).await;
        let mut entries: Vec<_> = of_shards.into_iter().flatten().collect();
        entries.sort_by_key(|entry| entry.at_unix_ms);
        entries
    }

    /// The counters of each shard, at most a second old.
    #[must_use]
    pub fn counters(&self) -> Vec<Counters> {
        self.shared.totals().iter().map(|totals| totals.engine).collect()
    }

    /// Connections now, with those that are not yet let in.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.admission.connections()
    }

    /// Reads the durable events.
    #[must_use]
    pub fn event_reader(&self) -> EventReader {
        self.events.clone()
    }

    /// The database has the events before this position: the log may forget them.
    pub fn release_events(&self, before: u64) {
        // After shutdown nothing is forgotten any more; the next start is told again.
        let _ = self.shared.log.push(LogInput::ReleaseEvents(before));
    }

    /// Waits until the log has durable events beyond a position (the `next` of the last batch); at once when it has.
    pub async fn events_appended(&self, beyond: u64) {
        self.shared.events.beyond(beyond).await;
    }

    /// Serves a stream whose WebSocket upgrade, with subprotocol `mqtt`, is done: MQTT in binary frames, as on a `ws` listener.
    pub async fn serve_websocket<S>(
        &self,
        stream: S,
        address: String,
        listener: &str,
        allow_anonymous: bool,
        peer_certificate: Option<Vec<u8>>,
    ) -> Result<(), NodeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let ip = ip_of(&address);
        let Ok(mut admitted) = self.shared.admission.admit() else {
            return Ok(());
        };
        if admitted.locate(ip).is_err() {
            return Ok(());
        }
        let slot = self.shared.admission.handshake_slot(&admitted).await;
        let listener = ListenerConfig {
            name: Arc::from(listener),
            kind: ListenerKind::Ws,
            bind: std::net::SocketAddr::new(ip, 0),
            path: None,
            proxy_protocol_from: Vec::new(),
            allow_anonymous,
            tls: None,
        };
        let entry = Entry {
            listener: Arc::new(listener),
            address: Arc::from(address),
            accepted: std::time::Instant::now(),
            admitted,
            slot,
            proxied: false,
            upgraded: Some(Upgraded { peer_certificate }),
        };
        let mailbox =
            self.shared.next_shard().and_then(|shard| self.shared.mailbox(shard)).ok_or(NodeError::Stopped)?;
        let accepted = Accepted { stream: PortableStream::Other(Box::new(stream)), entry };
        self.push(mailbox, ShardInput::Accepted(Box::new(accepted)))
    }

    fn push(&self, mailbox: &Mailbox<ShardInput>, input: ShardInput) -> Result<(), NodeError> {
        mailbox.push(input).map_err(|_| self.shared.gone())
    }

    /// The shard that accepts a service's messages on a topic: always the same, so that they stay in order.
    fn mailbox_of(&self, topic: &str) -> Result<&Mailbox<ShardInput>, NodeError> {
        let shard = home_of_topic(topic, self.shared.config.shards);
        self.shared.mailbox(shard).ok_or(NodeError::Stopped)
    }

    /// Asks every shard.
    async fn inspect<T: Send + 'static>(&self, look: impl Fn(&Inspected<'_>) -> T + Clone + Send + 'static) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.shared.shards.len());
        for mailbox in &self.shared.shards {
            answers.extend(self.inspect_one(mailbox, look.clone()).await);
        }
        answers
    }

    /// Asks one shard; `None` when it is gone.
    async fn inspect_one<T: Send + 'static>(
        &self,
        mailbox: &Mailbox<ShardInput>,
        look: impl FnOnce(&Inspected<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let look = move |inspected: &Inspected<'_>| {
            // Whoever asked may have gone.
            let _ = sender.send(look(inspected));
        };
        mailbox.push(ShardInput::Inspect(Box::new(look))).ok()?;
        answer.await.ok()
    }
}

async fn sum(answers: Vec<oneshot::Receiver<usize>>) -> usize {
    let mut sum = 0;
    for answer in answers {
        sum += answer.await.unwrap_or(0);
    }
    sum
}
