//! Who is subscribed to what, from when, and until when: for sure, and perhaps.

use mooring_protocol::{QoS, SubscriptionOptions, TopicFilter, TopicName};

use super::{Model, SessionName};

/// One subscription as one SUBSCRIBE made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) options: SubscriptionOptions,
    pub(crate) identifier: Option<u32>,
    /// The step at which SUBSCRIBE was handled.
    pub(crate) from_maybe: u64,
    /// And when.
    pub(crate) from_ms: u64,
    /// The step at which SUBACK left.
    pub(crate) from_sure: Option<u64>,
    /// The step at which UNSUBSCRIBE was handled, or another SUBSCRIBE.
    pub(crate) until_maybe: Option<u64>,
    /// The right to it was withdrawn: what was queued for it is gone.
    pub(crate) withdrawn: bool,
    /// The step at which that was acknowledged.
    pub(crate) until_sure: Option<u64>,
}

impl Span {
    pub(crate) const fn qos(&self) -> QoS {
        self.options.qos
    }
}

impl Model {
    /// An engine gets one filter of a SUBSCRIBE that the rights allow.
    pub(crate) fn subscribing(
        &mut self,
        name: SessionName,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) {
        let (step, now_ms) = (self.step, self.now_ms);
        let spans = self.sess_mut(name).spans.entry(filter.to_owned()).or_default();
        for span in spans.iter_mut() {
            span.until_maybe = span.until_maybe.or(Some(step));
        }
        spans.push(Span {
            options,
            identifier,
            from_maybe: step,
            from_ms: now_ms,
            from_sure: None,
            until_maybe: None,
            withdrawn: false,
            until_sure: None,
        });
    }

    /// An engine gets one filter of an UNSUBSCRIBE.
    pub(crate) fn unsubscribing(&mut self, name: SessionName, filter: &str) {
        let step = self.step;
        for span in self.sess_mut(name).spans.get_mut(filter).into_iter().flatten() {
            span.until_maybe = span.until_maybe.or(Some(step));
        }
    }

    /// The right to a filter is withdrawn from a session that may have it.
    pub(crate) fn right_withdrawn(&mut self, name: SessionName, filter: &str) {
        self.unsubscribing(name, filter);
        self.sess_mut(name).spans.get_mut(filter).into_iter().flatten().for_each(|span| span.withdrawn = true);
    }

    /// SUBACK or UNSUBACK leaves, for a packet that was handled at a step.
    pub(crate) fn subscription_acknowledged(&mut self, name: SessionName, filter: &str, handled: u64) {
        let step = self.step;
        for span in self.sess_mut(name).spans.get_mut(filter).into_iter().flatten() {
            if span.from_maybe == handled {
                span.from_sure = span.from_sure.or(Some(step));
            }
            if span.until_maybe.is_some_and(|until| until <= handled) {
                span.until_sure = span.until_sure.or(Some(step));
            }
        }
    }

    /// A SUBSCRIBE that was allowed is refused: there was no room. It is as if it had not come.
    pub(crate) fn subscription_refused(&mut self, name: SessionName, filter: &str, handled: u64) {
        if let Some(spans) = self.sess_mut(name).spans.get_mut(filter) {
            spans.retain(|span| span.from_maybe != handled);
        }
    }

    /// Every span of a session whose filter matches a topic.
    pub(crate) fn spans_for<'a>(&'a self, name: SessionName, topic: &str) -> impl Iterator<Item = (&'a str, &'a Span)> {
        let topic = topic.to_owned();
        self.sess(name)
            .spans
            .iter()
            .filter(move |(filter, _)| {
                let filter = TopicFilter::parse(filter).expect("the simulation's filters are filters");
                filter.inner().matches(TopicName::parse(&topic).expect("the simulation's topics are topics"))
            })
            .flat_map(|(filter, spans)| spans.iter().map(move |span| (filter.as_str(), span)))
    }
}

pub(crate) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}
