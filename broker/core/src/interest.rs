//! What this shard wants, told to the others, and what they want.

use mooring_protocol::TopicFilter;

use crate::acknowledgement::{Token, TokenOwner};
use crate::engine::Engine;
use crate::shard::{ShardId, ShardMessage};
use crate::subscribe::Waits;
use crate::topic_index::Interest;
use crate::trie::NodeId;

impl Engine {
    /// A number for a token that may come to be needed.
    pub(crate) const fn reserve_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    /// Makes a reserved token wait for its answers; 0 when there are none to wait for.
    pub(crate) fn arm_token(&mut self, waits: Waits, owner: TokenOwner) -> u64 {
        if waits.answers == 0 {
            return 0;
        }
        self.tokens.insert(waits.token, Token { left: waits.answers, owner });
        waits.token
    }

    /// Tells the other shards what this one wants with a filter, when it has changed since `before`.
    pub(crate) fn tell_interest(&mut self, node: NodeId, before: Interest, waits: &mut Waits) {
        let after = self.index.interest(node);
        // While others have not answered an earlier message, a subscriber of the same filter would not know when they know: ask once more.
        let is_settled = self.interests_unknown == 0 || waits.token == 0;
        if self.is_recovering || (after == before && is_settled) {
            return;
        }
        let Some(filter) = self.index.entry(node).map(|entry| entry.filter.clone()) else { return };
        let (add, durable) = match after {
            Interest::Wanted(durable) => (true, durable),
            Interest::None => (false, false),
        };
        for shard in self.other_shards() {
            let (filter, token) = (filter.clone(), waits.token);
            self.outbox.push_back((shard, ShardMessage::Interest { filter, add, durable, token }));
            if waits.token != 0 {
                waits.answers += 1;
                self.interests_unknown += 1;
            }
        }
    }

    /// Another shard wants a filter, or no longer.
    pub(crate) fn handle_interest(&mut self, from: ShardId, filter: TopicFilter<'_>, interest: Interest, token: u64) {
        self.index.set_shard(filter, from, interest);
        if token != 0 {
            self.outbox.push_back((from, ShardMessage::InterestKnown { token }));
        }
    }
}
