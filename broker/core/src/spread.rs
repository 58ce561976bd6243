//! Messages that nobody would repeat, wills above all, on their way to the lasting sessions of other shards.
//!
//! A client repeats what was not acknowledged, and the acknowledgement waits for every shard. A will is published by the broker, and with its record the
//! session's will is gone. So the log is told that the message has still to reach others, and when it has; after a crash in between it is sent to them
//! again, past those who have it.

use mooring_protocol::QoS;

use crate::acknowledgement::{Asked, Token, TokenOwner};
use crate::engine::{Engine, Now};
use crate::message::{Message, MessageId, SharedMessage};
use crate::record::{Record, Spreading};
use crate::session_key::{SessionId, SessionKey};
use crate::shard::{ShardId, home_shard};
use crate::shared::Pick;
use crate::topic_index::{LocalTarget, Targets};

impl Engine {
    /// A start finds such a message. The home shard of who published it sends it again, the others wait for that.
    pub(crate) fn spread_again(&mut self, now: Now, spreading: &Spreading) {
        let Spreading { id, message, sessions } = spreading;
        let publisher =
            SessionKey { identity: message.publisher.clone(), client_id: message.publisher_client_id.clone() };
        if home_shard(&publisher, self.config.shards) != self.config.shard {
            self.spreading.insert(*id, sessions.clone());
            return;
        }
        let own = self.sessions.place_of(&publisher);
        let targets = self.index.targets(message.topic.as_str(), own);
        let asked = self.deliver_to_rest(now, message, *id, &targets, sessions);
        if asked.left > 0 {
            self.tokens.insert(asked.token, Token { left: asked.left, owner: TokenOwner::Spread(*id) });
        } else {
            self.log.append(Record::SpreadEnds { message: *id });
        }
    }

    /// Such a message comes again from another shard.
    pub(crate) fn handle_spread_again(
        &mut self,
        now: Now,
        from: ShardId,
        (message, id): (&SharedMessage, MessageId),
        having: &[SessionId],
        token: Option<u64>,
    ) {
        let targets = Targets { shards: Vec::new(), ..self.index.targets(message.topic.as_str(), None) };
        let asked = self.deliver_to_rest(now, message, id, &targets, having);
        if let Some(token) = token {
            let sequence = self.log.appended();
            self.answer_stored(from, token, sequence, asked);
        } else if asked.left > 0 {
            self.tokens.insert(asked.token, Token { left: asked.left, owner: TokenOwner::Nobody });
        }
    }

    /// Delivers to everybody but those who have it.
    fn deliver_to_rest(
        &mut self,
        now: Now,
        message: &SharedMessage,
        id: MessageId,
        targets: &Targets,
        having: &[SessionId],
    ) -> Asked {
        let (members, picks) = self.pick_rest(message, &targets.groups, having);
        // [MQTT-4.3.1] at most once: who has it at QoS 0 is known to nobody.
        let lacks = |target: &&LocalTarget| {
            let session = self.sessions.get(target.session);
            target.qos > QoS::AtMostOnce && session.is_some_and(|session| !having.contains(&session.id))
        };
        let locals: Vec<LocalTarget> = targets.locals.iter().chain(&members).filter(lacks).cloned().collect();
        let picks: Vec<Pick> = picks.into_iter().filter(|pick| pick.member.options.qos > QoS::AtMostOnce).collect();
        self.deliver_recorded(now, message, Some(id), &locals);
        self.forward(message, Some(id), None, &targets.shards, &picks)
    }

    /// Chooses members of groups of which none has it.
    fn pick_rest(&mut self, message: &Message, groups: &[u32], having: &[SessionId]) -> (Vec<LocalTarget>, Vec<Pick>) {
        let rest: Vec<u32> = groups
            .iter()
            .copied()
            .filter(|group| {
                let group = self.groups.get_mut(*group);
                group.is_some_and(|group| !having.iter().any(|session| group.has(*session)))
            })
            .collect();
        self.pick_members(message, &rest)
    }
}
