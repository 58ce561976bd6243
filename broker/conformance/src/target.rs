//! What a case sees of the server under test: how to reach it, and names that no other case uses.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::case::{Check, Stop, here};
use crate::client::Client;
use crate::options::Options;
use crate::property::{self, Props};
use crate::stream::Stream;
use crate::wire::{Connect, Version};

/// The server under test, as one case sees it.
#[derive(Debug)]
pub struct Target<'r> {
    pub(crate) options: &'r Options,
    pub(crate) version: Version,
    run: &'r RunState,
}

/// What all cases of a run share.
#[derive(Debug)]
pub(crate) struct RunState {
    /// Keeps the names of two runs against the same server apart.
    prefix: String,
    counter: AtomicU32,
    features: OnceLock<Features>,
}

impl RunState {
    pub(crate) fn new() -> Self {
        Self { prefix: random_prefix(), counter: AtomicU32::new(0), features: OnceLock::new() }
    }
}

/// The optional features that a server declares in its MQTT 5.0 CONNACK; what it does not mention, it has.
#[derive(Debug, Clone, Serialize)]
pub struct Features {
    /// Maximum QoS, 0x24.
    pub maximum_qos: u8,
    /// Retain Available, 0x25.
    pub retain: bool,
    /// Wildcard Subscription Available, 0x28.
    pub wildcards: bool,
    /// Subscription Identifiers Available, 0x29.
    pub subscription_ids: bool,
    /// Shared Subscription Available, 0x2A.
    pub shared: bool,
    /// Topic Alias Maximum, 0x22.
    pub topic_alias_maximum: u16,
    /// Receive Maximum, 0x21.
    pub receive_maximum: u16,
    /// Maximum Packet Size, 0x27.
    pub maximum_packet_size: Option<u32>,
    /// Server Keep Alive, 0x13, in seconds, for a client that asks for 60.
    pub server_keep_alive: Option<u16>,
    /// The server answers a 5.0 CONNECT with success.
    pub v5: bool,
}

impl<'r> Target<'r> {
    pub(crate) fn new(options: &'r Options, run: &'r RunState, version: Version) -> Self {
        Self { options, version, run }
    }

    /// The same server, spoken to in another version.
    pub(crate) fn speaking(&self, version: Version) -> Self {
        Self { options: self.options, version, run: self.run }
    }

    /// A client id of at most 23 letters and digits, [MQTT-3.1.3-5], that nobody has used.
    pub(crate) fn id(&self) -> String {
        format!("mc{}{}", self.run.prefix, self.next())
    }

    /// A topic that nobody has used, with `name` as its last level.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}/{}/{}/{name}", self.options.topic_prefix, self.run.prefix, self.next())
    }

    /// A single level that nobody has used.
    pub(crate) fn level(&self) -> String {
        format!("{}-{}", self.run.prefix, self.next())
    }

    fn next(&self) -> u32 {
        self.run.counter.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// A CONNECT with a new client id and the credentials of the run.
    pub(crate) fn hello(&self) -> Connect {
        self.hello_as(self.id())
    }

    /// A CONNECT with this client id and the credentials of the run.
    pub(crate) fn hello_as(&self, id: impl Into<String>) -> Connect {
        let mut connect = Connect::new(id);
        connect.username.clone_from(&self.options.username);
        connect.password.clone_from(&self.options.password);
        connect
    }

    /// A network connection on which nothing has been said.
    #[track_caller]
    pub(crate) fn dial(&self) -> Check<Client<'_>> {
        let at = here();
        match Stream::open(&self.options.target, self.options.tls.as_ref(), self.options.answer) {
            Ok(stream) => Ok(Client::new(self, stream)),
            Err(error) => Err(Stop::failed(format!("a network connection ({at})"), error.to_string())),
        }
    }

    /// A client whose CONNECT was accepted.
    #[track_caller]
    pub(crate) fn connect(&self, connect: &Connect) -> Check<Client<'_>> {
        Ok(self.connect_seeing(connect)?.0)
    }

    /// The same, with session present and the properties of the CONNACK.
    #[track_caller]
    pub(crate) fn connect_seeing(&self, connect: &Connect) -> Check<(Client<'_>, bool, Props)> {
        let mut client = self.dial()?;
        client.send(&connect.encode(self.version));
        let (present, props) = client.expect_accepted("a CONNACK that accepts")?;
        Ok((client, present, props))
    }

    /// A client with a session of its own and nothing special.
    #[track_caller]
    pub(crate) fn client(&self) -> Check<Client<'_>> {
        self.connect(&self.hello())
    }

    /// Asks for a session that outlives its connection.
    pub(crate) fn lasting(&self, connect: Connect) -> Connect {
        let mut connect = connect.resume();
        if self.version.is_v5() && !connect.props.has(property::SESSION_EXPIRY) {
            connect.props = connect.props.u32(property::SESSION_EXPIRY, 600);
        }
        connect
    }

    /// Removes the session of a client id, so that a run leaves nothing behind.
    pub(crate) fn forget(&self, id: &str) -> Check {
        self.connect(&self.hello_as(id))?.disconnect();
        Ok(())
    }

    /// Another client is served: subscribe, publish, receive.
    pub(crate) fn still_serves(&self) -> Check {
        let topic = self.topic("alive");
        let mut client = self.client()?;
        client.subscribe(&topic, 0)?;
        client.publish(&topic, "alive", 0)?;
        let delivery = client.expect_publish("another client's message, after the attack")?;
        client.check(delivery.payload == b"alive", "the message that was published", format!("{delivery}"))?;
        client.disconnect();
        Ok(())
    }

    /// What the server declares in a 5.0 CONNACK; asked once a run.
    pub(crate) fn features(&self) -> &Features {
        self.run.features.get_or_init(|| {
            let asked = self.speaking(Version::V5);
            let connect = asked.hello();
            let props = asked.connect_seeing(&connect).map(|(client, _, props)| {
                client.disconnect_quietly();
                props
            });
            Features::from_connack(props.ok())
        })
    }

    pub(crate) fn need_retain(&self) -> Check {
        self.need(self.features().retain, "Retain Available = 0")
    }

    pub(crate) fn need_shared(&self) -> Check {
        self.need(self.features().shared, "Shared Subscription Available = 0")
    }

    pub(crate) fn need_wildcards(&self) -> Check {
        self.need(self.features().wildcards, "Wildcard Subscription Available = 0")
    }

    pub(crate) fn need_subscription_ids(&self) -> Check {
        self.need(self.features().subscription_ids, "Subscription Identifiers Available = 0")
    }

    pub(crate) fn need_qos(&self, qos: u8) -> Check {
        let maximum = self.features().maximum_qos;
        self.need(maximum >= qos, &format!("Maximum QoS = {maximum}"))
    }

    pub(crate) fn need_aliases(&self) -> Check<u16> {
        let maximum = self.features().topic_alias_maximum;
        self.need(maximum > 0, "Topic Alias Maximum = 0 or absent")?;
        Ok(maximum)
    }

    fn need(&self, has: bool, declared: &str) -> Check {
        if has { Ok(()) } else { Err(Stop::Skipped(format!("the 5.0 CONNACK declares {declared}"))) }
    }
}

impl Features {
    fn from_connack(connack: Option<Props>) -> Self {
        let v5 = connack.is_some();
        let props = connack.unwrap_or_default();
        let flag = |id| props.number(id) != Some(0);
        let small = |id| props.number(id).and_then(|number| u16::try_from(number).ok());
        Self {
            maximum_qos: small(property::MAXIMUM_QOS).map_or(2, |qos| if qos == 0 { 0 } else { 1 }),
            retain: flag(property::RETAIN_AVAILABLE),
            wildcards: flag(property::WILDCARD_AVAILABLE),
            subscription_ids: flag(property::SUBSCRIPTION_ID_AVAILABLE),
            shared: flag(property::SHARED_AVAILABLE),
            topic_alias_maximum: small(property::TOPIC_ALIAS_MAXIMUM).unwrap_or(0),
            receive_maximum: small(property::RECEIVE_MAXIMUM).unwrap_or(u16::MAX),
            maximum_packet_size: props.number(property::MAXIMUM_PACKET_SIZE),
            server_keep_alive: small(property::SERVER_KEEP_ALIVE),
            v5,
        }
    }
}

/// Seven letters and digits from the hasher's seed, which the standard library takes from the system.
fn random_prefix() -> String {
    use std::hash::{BuildHasher, RandomState};
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut number = RandomState::new().hash_one(std::process::id());
    let mut out = String::new();
    for _ in 0..7 {
        let digit = usize::try_from(number % 36).unwrap_or(0);
        out.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        number /= 36;
    }
    out
}
