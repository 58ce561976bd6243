//! Topic aliases of one connection, both ways (5.0, section 3.3.2.3.4).

use std::num::NonZeroU16;

use mooring_protocol::{TopicName, TopicNameBuf};

/// Both tables of a connection.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    /// What the client's aliases stand for, by alias less one.
    incoming: Vec<Option<TopicNameBuf>>,
    /// What ours stand for, likewise.
    outgoing: Vec<Outgoing>,
    outgoing_max: u16,
}

#[derive(Debug)]
struct Outgoing {
    topic: Box<str>,
    /// Rises with each use, falls when another topic would like the place.
    credit: u8,
}

/// How to write a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasUse {
    /// In full.
    None,
    /// In full, with the alias that stands for it from now on.
    Set(NonZeroU16),
    /// The alias alone.
    Known(NonZeroU16),
}

impl Aliases {
    pub(crate) fn new(outgoing_max: u16) -> Self {
        Self { outgoing_max, ..Self::default() }
    }

    /// Whether topics towards the client may have aliases.
    pub(crate) const fn has_outgoing(&self) -> bool {
        self.outgoing_max > 0
    }

    /// Takes note of what an alias of the client stands for.
    pub(crate) fn set_incoming(&mut self, alias: NonZeroU16, topic: TopicName<'_>) {
        let place = usize::from(alias.get()) - 1;
        if self.incoming.len() <= place {
            self.incoming.resize(place + 1, None);
        }
        if let Some(slot) = self.incoming.get_mut(place)
            && slot.as_ref().map(TopicNameBuf::as_name) != Some(topic)
        {
            *slot = Some(topic.to_buf());
        }
    }

    /// What an alias of the client stands for.
    pub(crate) fn incoming(&self, alias: NonZeroU16) -> Option<TopicName<'_>> {
        self.incoming.get(usize::from(alias.get()) - 1)?.as_ref().map(TopicNameBuf::as_name)
    }

    /// Decides how to write a topic. The first topics get a place at once; when all are taken, a topic has to come more often than the least
    /// used one to take its place, so that a sequence of topics that come once does not drive out those that repeat.
    pub(crate) fn choose(&mut self, topic: &str) -> AliasUse {
        if let Some(place) = self.outgoing.iter().position(|outgoing| &*outgoing.topic == topic) {
            if let Some(outgoing) = self.outgoing.get_mut(place) {
                outgoing.credit = outgoing.credit.saturating_add(1);
            }
            return alias_at(place).map_or(AliasUse::None, AliasUse::Known);
        }
        if self.outgoing.len() < usize::from(self.outgoing_max) {
            self.outgoing.push(Outgoing { topic: topic.into(), credit: 1 });
            return alias_at(self.outgoing.len() - 1).map_or(AliasUse::None, AliasUse::Set);
        }
        let Some((place, least)) = self.outgoing.iter_mut().enumerate().min_by_key(|(_, outgoing)| outgoing.credit)
        else {
            return AliasUse::None;
        };
        least.credit = least.credit.saturating_sub(1);
        if least.credit > 0 {
            return AliasUse::None;
        }
        *least = Outgoing { topic: topic.into(), credit: 1 };
        alias_at(place).map_or(AliasUse::None, AliasUse::Set)
    }
}

fn alias_at(place: usize) -> Option<NonZeroU16> {
    u16::try_from(place + 1).ok().and_then(NonZeroU16::new)
}
