//! What a decoder accepts at most. All limits of this crate are here.

/// The largest remaining length that four bytes can say (section 2.1.4).
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// The largest packet that the protocol knows: the remaining length and the five bytes before it.
pub const PACKET_SIZE_MAX: usize = REMAINING_LENGTH_MAX + 5;

/// Limits on one topic name or topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// Levels, that is, one more than the number of slashes. Default: 128.
    pub levels_max: usize,
    /// Length in bytes of UTF-8. Default and protocol maximum: 65,535 [MQTT-4.7.3-3].
    pub length_max: usize,
}

impl TopicLimits {
    /// What the protocol itself allows.
    pub const PROTOCOL: Self = Self { levels_max: 65_536, length_max: 65_535 };
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self { levels_max: 128, length_max: 65_535 }
    }
}

/// Limits on one received packet. Whoever exceeds one gets the reason code that is named beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The whole packet, with its fixed header, in bytes: Packet too large (0x95), from the header alone. Default: 1 MiB.
    pub packet_size_max: usize,
    /// Levels of a topic name or filter: Topic Name invalid (0x90) or Topic Filter invalid (0x8F). Default: 128.
    pub topic_levels_max: usize,
    /// Bytes of a topic name or filter: 0x90 or 0x8F. Default: 65,535.
    pub topic_length_max: usize,
    /// Properties of all kinds in one property list: Quota exceeded (0x97). Default: 256.
    pub properties_max: usize,
    /// User properties in one property list: Quota exceeded (0x97). Default: 128.
    pub user_properties_max: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE: Quota exceeded (0x97). Default: 1,024.
    pub filters_max: usize,
    /// Refuse control characters and non-characters in every string as malformed (0x81), which section 1.5.4 of 5.0 lets a receiver do. Default:
    /// false. Surrogates, NUL and overlong forms are refused in any case.
    pub strict_utf8: bool,
}

impl DecodeLimits {
    /// What the protocol itself allows; for tools that must read anything.
    pub const PROTOCOL: Self = Self {
        packet_size_max: PACKET_SIZE_MAX,
        topic_levels_max: TopicLimits::PROTOCOL.levels_max,
        topic_length_max: TopicLimits::PROTOCOL.length_max,
        properties_max: usize::MAX,
        user_properties_max: usize::MAX,
        filters_max: usize::MAX,
        strict_utf8: false,
    };

    /// The part that concerns topics.
    #[must_use]
    pub const fn topic(&self) -> TopicLimits {
        TopicLimits { levels_max: self.topic_levels_max, length_max: self.topic_length_max }
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        let topic = TopicLimits::default();
        Self {
            packet_size_max: 1024 * 1024,
            topic_levels_max: topic.levels_max,
            topic_length_max: topic.length_max,
            properties_max: 256,
            user_properties_max: 128,
            filters_max: 1024,
            strict_utf8: false,
        }
    }
}
