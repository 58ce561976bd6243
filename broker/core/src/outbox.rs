//! What waits for other shards, in the order in which each is to have it.

use std::collections::VecDeque;

use crate::message_batch::MessageBatch;
use crate::shard::{ShardId, ShardMessage};

/// Empty batches that wait for use, at most.
const SPARE_MAX: usize = 4;

/// Messages for other shards; those for the same shard come out in the order in which they went in.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(ShardId, ShardMessage)>,
    /// Batches that are being filled, each behind all that waits for the same shard.
    open: Vec<(ShardId, MessageBatch)>,
    spare: Vec<MessageBatch>,
}

impl Outbox {
    pub(crate) fn push_back(&mut self, (to, message): (ShardId, ShardMessage)) {
        if let Some(place) = self.open.iter().position(|(shard, _)| *shard == to) {
            let (_, batch) = self.open.swap_remove(place);
            self.waiting.push_back((to, ShardMessage::Batch(batch)));
        }
        self.waiting.push_back((to, message));
    }

    /// Adds to the batch that is the last thing for a shard.
    pub(crate) fn fill(&mut self, to: ShardId, fill: impl FnOnce(&mut MessageBatch)) {
        if let Some((_, batch)) = self.open.iter_mut().find(|(shard, _)| *shard == to) {
            return fill(batch);
        }
        let mut batch = self.spare.pop().unwrap_or_default();
        fill(&mut batch);
        self.open.push((to, batch));
    }

    /// Takes the memory of a batch that is done with.
    pub(crate) fn keep(&mut self, batch: MessageBatch) {
        if self.spare.len() < SPARE_MAX
            && let Some(empty) = batch.emptied()
        {
            self.spare.push(empty);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<(ShardId, ShardMessage)> {
        self.waiting.pop_front().or_else(|| self.open.pop().map(|(to, batch)| (to, ShardMessage::Batch(batch))))
    }
}
