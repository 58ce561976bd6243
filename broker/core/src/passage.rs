//! The way of a message that nobody keeps: each copy is written from the publisher's own bytes, and other shards get it as bytes, too.

use std::sync::Arc;

use mooring_protocol::{Publish, QoS};

use crate::deliver::Fresh;
use crate::engine::{Engine, Now};
use crate::message::{Origin, SharedMessage};
use crate::message_batch::MessageBatch;
use crate::outgoing::Outgoing;
use crate::route::Route;
use crate::shard::ShardId;
use crate::topic_hash::TopicHash;
use crate::topic_index::{LocalTarget, Targets};

/// How the copies for the sessions of this shard come about without a message.
#[derive(Clone, Copy)]
pub(crate) enum Passage<'r> {
    /// All have QoS 0: they go out, or nowhere.
    AtMostOnce,
    /// There is one, to be acknowledged; it waits in memory alone, and behind nothing of the publisher's. A message is made if it has to wait.
    Acknowledged(&'r LocalTarget),
}

impl Engine {
    /// The way of what a client of this shard publishes; `None` when a message has to be made, to be kept, recorded, queued or shared.
    pub(crate) fn passage_from<'r>(&self, publish: &Publish<'_>, route: &'r Route) -> Option<Passage<'r>> {
        if publish.retain || route.event || route.tap || !self.may_cross(publish, &route.targets.shards) {
            return None;
        }
        self.passage(&route.targets, publish.qos)
    }

    /// The same for a message whose way to other shards is somebody else's concern.
    fn passage<'r>(&self, targets: &'r Targets, qos: QoS) -> Option<Passage<'r>> {
        if !targets.groups.is_empty() {
            return None;
        }
        let is_acknowledged = |target: &LocalTarget| qos.min(target.qos) > QoS::AtMostOnce;
        if !targets.locals.iter().any(is_acknowledged) {
            return Some(Passage::AtMostOnce);
        }
        let [target] = targets.locals.as_slice() else { return None };
        let is_recorded = self.log.is_enabled()
            && (!self.publishers.is_empty() || self.sessions.get(target.session).is_none_or(|session| session.durable));
        (!is_recorded).then_some(Passage::Acknowledged(target))
    }

    /// Whether nothing has to wait for what other shards do with a message, so that they can get it as bytes.
    fn may_cross(&self, publish: &Publish<'_>, shards: &[(ShardId, bool)]) -> bool {
        let is_kept = || {
            publish.qos > QoS::AtMostOnce
                && self.log.is_enabled()
                && (!self.publishers.is_empty() || shards.iter().any(|(_, durable)| *durable))
        };
        shards.is_empty() || (MessageBatch::takes(publish) && !is_kept())
    }

    /// Sends the copies for this shard's sessions. Returns how many took one. `message` makes the message, should it have to wait.
    pub(crate) fn pass(
        &mut self,
        now: Now,
        targets: &Targets,
        (passage, qos): (Passage<'_>, QoS),
        outgoing: &Outgoing<'_>,
        message: impl FnOnce(&Self) -> SharedMessage,
    ) -> usize {
        match passage {
            Passage::AtMostOnce => {
                let locals = &targets.locals;
                let mut fresh = Fresh::new(outgoing, None, locals.len());
                locals.iter().filter(|target| self.send_now(target.session, target, false, &mut fresh)).count()
            }
            Passage::Acknowledged(target) if self.send_once(target, qos.min(target.qos), outgoing) => 1,
            Passage::Acknowledged(target) => {
                let message = message(self);
                self.accept_only(now, message, outgoing, target)
            }
        }
    }

    /// Puts a message for other shards behind what goes to them.
    pub(crate) fn cross(
        &mut self,
        now: Now,
        shards: &[(ShardId, bool)],
        origin: (&Arc<Origin>, TopicHash),
        publish: &Publish<'_>,
    ) {
        for (shard, _) in shards {
            self.outbox.fill(*shard, |batch| batch.push(origin, (publish.payload, publish.qos), now.unix_ms));
        }
    }

    /// Messages that another shard accepted.
    pub(crate) fn handle_batch(&mut self, now: Now, from: ShardId, batch: MessageBatch) {
        for (run, messages) in batch.runs() {
            let topic = run.origin.topic.as_name();
            let known = self.known_route(topic, run.hash, None);
            let targets = &known.route.targets;
            for batched in messages {
                match self.passage(targets, batched.qos) {
                    Some(passage) => {
                        let outgoing = Outgoing::bare(topic.as_str(), batched.payload);
                        self.pass(now, targets, (passage, batched.qos), &outgoing, |_| batched.to_message());
                    }
                    None => self.handle_remote_publish(now, from, &batched.to_message(), None, None, None),
                }
            }
        }
        self.outbox.keep(batch);
    }
}
