//! Retained messages for a new subscription (section 3.3.1.3), at the pace at which the client reads.

use std::collections::VecDeque;

use mooring_protocol::{QoS, SubscriptionId, TopicFilterBuf};

use crate::connection::State;
use crate::deliver::{Enqueued, Fresh};
use crate::engine::{ConnectionId, Engine, Now};
use crate::message::{MessageId, SharedMessage};
use crate::outgoing::Outgoing;
use crate::queue::SubscriptionIdSet;
use crate::topic_index::LocalTarget;
use crate::trie::NodeId;

/// While a queue is longer, no retained messages are added to it.
const QUEUED_MAX: usize = 256;

/// Retained messages that a SUBSCRIBE asks for, once its SUBACK is sent.
#[derive(Debug)]
pub(crate) struct ReplayRequest {
    pub(crate) filter: TopicFilterBuf,
    /// Later messages went to the subscription as they came.
    pub(crate) change_max: u64,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) identifier: Option<SubscriptionId>,
}

/// Retained messages that are still to be sent.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    items: VecDeque<Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    node: NodeId,
    change: u64,
    qos: QoS,
    no_local: bool,
    identifier: Option<SubscriptionId>,
}

impl Engine {
    /// Begins what a SUBSCRIBE asked for.
    pub(crate) fn start_replays(&mut self, now: Now, id: ConnectionId, requests: Vec<ReplayRequest>) {
        if requests.is_empty() {
            return;
        }
        let mut items = VecDeque::new();
        for request in requests {
            let ReplayRequest { qos, no_local, identifier, .. } = request;
            let found = self.retained.matches(request.filter.as_filter(), request.change_max);
            items.extend(found.into_iter().map(|(node, change)| Item { node, change, qos, no_local, identifier }));
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !items.is_empty() {
            connection.replay.get_or_insert_default().items.append(&mut items);
        }
        self.continue_replay(now, id);
    }

    /// Sends as many of them as there is room for.
    pub(crate) fn continue_replay(&mut self, now: Now, id: ConnectionId) {
        let output_max = self.config.limits.output_bytes_max / 2;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let place = connection.session;
            if connection.state != State::Open || connection.output.bytes() >= output_max {
                return;
            }
            let Some(replay) = &mut connection.replay else { return };
            let Some(item) = replay.items.front().copied() else {
                connection.replay = None;
                return;
            };
            // A session that outlives its connection takes them all at once: nobody would send them to it later.
            let Some(session) = self.sessions.get(place) else { return };
            if item.qos > QoS::AtMostOnce && !session.durable && session.queue.len() >= QUEUED_MAX {
                return;
            }
            replay.items.pop_front();
            self.replay_one(now, place, item);
        }
    }

    fn replay_one(&mut self, now: Now, place: u32, item: Item) {
        // One that has changed since went to the client as it came.
        let Some(retained) = self.retained.at(now, item.node, item.change) else { return };
        let (message, message_id) = (retained.message.clone(), retained.id);
        let Some(session) = self.sessions.get(place) else { return };
        let own = message.publisher_client_id == session.key.client_id && message.publisher == session.key.identity;
        if item.no_local && own {
            return;
        }
        let ids = item.identifier.map_or(SubscriptionIdSet::None, |id| SubscriptionIdSet::One([id]));
        let qos = message.qos.min(item.qos);
        let target = LocalTarget { session: place, qos, retain_as_published: true, ids, group: None };
        if qos > QoS::AtMostOnce {
            self.enqueue_kept(now, &message, message_id, &target);
            return;
        }
        let mut scratch = std::mem::take(&mut self.fresh_scratch);
        let outgoing = Outgoing::from_message(now, &message, &mut scratch);
        let mut fresh = Fresh::new(&outgoing, None, 1);
        self.send_now(place, &target, true, &mut fresh);
        drop(fresh);
        self.fresh_scratch = scratch;
    }

    /// Queues a retained message for a new subscription.
    fn enqueue_kept(&mut self, now: Now, message: &SharedMessage, id: Option<MessageId>, target: &LocalTarget) {
        let enqueued = self.enqueue(now, message.clone(), (target.qos, true), target);
        if let Enqueued::Durably(delivery) = enqueued {
            let entry = delivery.sequence;
            let (id, recorded) = self.record_remote(message, id, vec![delivery]);
            if let Some(id) = id {
                self.set_recorded(target.session, entry, id, recorded);
            }
        }
        self.pump(now, target.session, None);
    }
}
