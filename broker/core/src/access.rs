//! Who a client is, and what it may do. `auth-plugin` implements [`Access`]; the engine asks it and caches the answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mooring_protocol::{Connect, QoS, ReasonCode, TopicFilter, TopicName, TopicNameBuf};

/// A verified name: a SPIFFE id for a certificate, `user:<name>` for a password, `anonymous` where a listener allows it.
///
/// Cheap to clone. Two clients with the same identity are the same somebody; sessions are keyed by identity and client id together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

impl Identity {
    /// Takes a name that the authenticator has verified.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What authentication established about one connection.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The verified name.
    pub identity: Identity,
    /// Its client id, for rules that name it. The engine sets it, so that it is the id of the session also where the server assigned it; `None`
    /// until then.
    pub client_id: Option<Arc<str>>,
    /// The certificate's serial number in lower-case hex, where there is one: revocation finds the connection by it.
    pub certificate_serial: Option<Arc<str>>,
    /// The topic that says, retained, whether this identity is online. `None` for clients whose presence nobody follows.
    pub presence_topic: Option<TopicNameBuf>,
    /// Where it connects from, for the timeline: an address and port, or a path.
    pub address: Arc<str>,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
}

/// The answer to "may it?", and why.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it may.
    pub allow: bool,
    /// What a refusal says on the wire (0x87 unless the rule names another); `Success` when allowed.
    pub reason: ReasonCode,
    /// The rule that decided, for the log and the timeline.
    pub rule: Arc<str>,
}

/// Decides, from memory and without waiting, what a principal may publish and subscribe to. Deny is the default of every implementation.
pub trait Access: Send + Sync {
    /// May `who` publish to `topic`? Also asked for wills, at CONNECT and when they fire.
    fn publish(&self, who: &Principal, topic: TopicName<'_>) -> Verdict;

    /// May `who` subscribe to `filter`? Only when its rights contain the whole filter. For a shared subscription, `filter` is the part behind the group.
    fn subscribe(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict;

    /// Changes whenever any verdict may have changed; the engine drops what it cached under another generation.
    fn generation(&self) -> u64;

    /// May `who` have `topic` as that of its will? Asked at CONNECT and when the will fires.
    fn will(&self, who: &Principal, topic: TopicName<'_>) -> Verdict {
        self.publish(who, topic)
    }

    /// May `who` keep a subscription that was granted before? Asked when rights have changed.
    fn keep(&self, who: &Principal, filter: TopicFilter<'_>) -> Verdict {
        self.subscribe(who, filter)
    }

    /// Whether another system knows the rights of `who`: each PUBLISH and SUBSCRIBE is then put to [`Access::ask`], in place of
    /// [`Access::publish`] and [`Access::subscribe`]. Asked at CONNECT.
    fn is_asked_elsewhere(&self, _who: &Principal) -> bool {
        false
    }

    /// Judges one packet of such a client, now or later. The engine waits for nothing: it sets the packet aside.
    fn ask(&self, _who: &Principal, _question: &Question<'_>) -> Asked {
        Asked::Known(Vec::new())
    }
}

/// What one packet asks for.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// PUBLISH, its topic alias resolved.
    Publish {
        /// Where to.
        topic: TopicName<'a>,
        /// With which QoS.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
        /// What it says.
        payload: &'a [u8],
    },
    /// SUBSCRIBE: its filters, as they are written.
    Subscribe(&'a [(TopicFilter<'a>, QoS)]),
}

/// What one topic or filter of a [`Question`] is given.
#[derive(Clone, Debug)]
pub struct Permit {
    /// Whether it may.
    pub verdict: Verdict,
    /// The highest QoS at which a filter is granted.
    pub qos_max: QoS,
}

/// The answer to a [`Question`]: a permit for each thing that it asks for, in order. A missing one refuses.
pub enum Asked {
    /// It is known.
    Known(Vec<Permit>),
    /// Somebody else is asked. The driver polls it, on the shard's thread: it must do no work there.
    Later(Answering),
}

/// The answer to a [`Question`], when it is there.
pub type Answering = Pin<Box<dyn Future<Output = Vec<Permit>> + Send>>;

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(permits) => f.debug_tuple("Known").field(permits).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// One CONNECT that asks to be let in, with what the transport knows.
#[derive(Clone, Copy, Debug)]
pub struct ConnectAttempt<'a> {
    /// The packet.
    pub connect: &'a Connect<'a>,
    /// The leaf of the client's certificate chain, DER, when the TLS layer has verified one.
    pub peer_certificate: Option<&'a [u8]>,
    /// Where it comes from.
    pub address: &'a str,
    /// The name of the listener.
    pub listener: &'a str,
    /// Whether the listener lets clients in that name nobody.
    pub allow_anonymous: bool,
}

/// Why a CONNECT was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code of the CONNACK.
    pub reason: ReasonCode,
    /// Why, for the log and the timeline; never sent to the client.
    pub why: Arc<str>,
}

/// The answer to a CONNECT, when it is there.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Principal, Refusal>> + Send + 'a>>;

/// Establishes who a client is. May wait (a password hash, a webhook): the driver asks before it hands the connection to its shard.
pub trait Authenticate: Send + Sync {
    /// Decides on one CONNECT that names no authentication method.
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a>;

    /// Begins an enhanced authentication (5.0, section 4.12), at CONNECT or again later. `None` when the method is not offered to this client:
    /// it is refused with 0x8C.
    fn exchange(&self, _attempt: ExchangeAttempt<'_>) -> Option<Box<dyn Exchange>> {
        None
    }
}

/// A client that begins an enhanced authentication.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeAttempt<'a> {
    /// The authentication method that it names.
    pub method: &'a str,
    /// Its client id; empty when one will be assigned.
    pub client_id: &'a str,
    /// Where it comes from.
    pub address: &'a str,
    /// The name of the listener.
    pub listener: &'a str,
}

/// The server's side of one enhanced authentication.
pub trait Exchange: Send {
    /// Takes the client's next message; `None` when its packet has none.
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a>;
}

/// What a message of the client leads to, when it is known.
pub type Stepping<'a> = Pin<Box<dyn Future<Output = ExchangeStep> + Send + 'a>>;

/// What a message of the client leads to.
#[derive(Clone, Debug)]
pub enum ExchangeStep {
    /// The client is sent this message, and answers.
    Continue(Box<[u8]>),
    /// It is known who the client is.
    Done {
        /// Who.
        principal: Principal,
        /// The last message to the client.
        data: Option<Box<[u8]>>,
    },
    /// It is not.
    Refuse(Refusal),
}
