//! Opening many connections, and subscribing on them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mooring_protocol::{
    Connect, ConnectProperties, PacketId, QoS, Subscribe, Subscription, TopicFilter, Version, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::args::Common;
use crate::engine::{Connected, Shared};
use crate::frame::{self, Accepted, Received};
use crate::transport::{Connector, Opened};
use crate::websocket::{Deframer, append_frame};

/// Nobody waits longer for a broker that does not answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Filters in one SUBSCRIBE.
const FILTERS_PER_PACKET: usize = 100;

/// SUBSCRIBE packets without their SUBACK, over all connections: more would only measure the depth of sockets.
const SUBSCRIBES_IN_FLIGHT: u64 = 64;

/// How a client opens its session.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
}

impl ClientSettings {
    /// A clean session of this run's own.
    pub(crate) fn clean(run: &str, name: &str) -> Self {
        Self { client_id: format!("{run}-{name}"), clean_start: true }
    }

    /// A session that outlives its connection.
    pub(crate) fn persistent(run: &str, name: &str) -> Self {
        Self { client_id: format!("{run}-{name}"), clean_start: false }
    }
}

/// Opens connections to the broker under test.
#[derive(Debug)]
pub(crate) struct Opener {
    connector: Connector,
    common: Common,
    /// Part of each client id and topic, so that runs do not meet each other's leftovers.
    pub(crate) run: String,
}

impl Opener {
    pub(crate) fn new(common: &Common) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Self::named(common, format!("b{:x}{:x}", std::process::id(), now.subsec_micros()))
    }

    /// The same with a name that another run can have, too.
    pub(crate) fn named(common: &Common, run: String) -> Result<Self> {
        Ok(Self { connector: Connector::new(&common.target)?, common: common.clone(), run })
    }

    /// The name of the certificate of place `index` in a list of clients; empty without certificates.
    pub(crate) fn certificate_name(&self, index: usize) -> &str {
        self.connector.certificate_name(index)
    }

    /// Connects one client, to its CONNACK. `index` chooses its source address and its certificate.
    async fn connect(&self, index: usize, settings: &ClientSettings) -> Result<Connected> {
        let connecting = self.connect_numbered(index, settings);
        match tokio::time::timeout(ANSWER_WITHIN, connecting).await {
            Ok(connected) => connected.with_context(|| format!("client {}", settings.client_id)),
            Err(_) => bail!("client {}: no CONNACK within {ANSWER_WITHIN:?}", settings.client_id),
        }
    }

    async fn connect_numbered(&self, index: usize, settings: &ClientSettings) -> Result<Connected> {
        let started = Instant::now();
        let Opened { mut transport, received } = self.connector.open(index).await?;
        let mut deframer = self.connector.is_websocket().then(Deframer::default);
        let mut packet = self.encode_connect(settings)?;
        if deframer.is_some() {
            let mut framed = Vec::new();
            append_frame(&packet, &mut framed);
            packet = framed;
        }
        transport.write_all(&packet).await?;
        transport.flush().await?;
        let (mut mqtt, mut fresh) = (Vec::new(), received);
        loop {
            if let Some(deframer) = &mut deframer {
                let length = deframer.deframe(&mut fresh, &mut Vec::new())?.length;
                fresh.truncate(length);
            }
            mqtt.append(&mut fresh);
            if let Some((connack, size)) = frame::read(&mqtt, self.version())? {
                let accepted = check_connack(&connack)?;
                let received = mqtt.split_off(size);
                return Ok(Connected { transport, deframer, received, accepted, took: started.elapsed() });
            }
            ensure!(transport.read_buf(&mut fresh).await? > 0, "the broker closed the connection before its CONNACK");
        }
    }

    /// Opens the session, subscribes it to one filter, and leaves, as a client does that sleeps.
    async fn visit(&self, index: usize, settings: &ClientSettings, filter: &str) -> Result<()> {
        let mut connected = self.connect(index, settings).await?;
        let Connected { transport, received, .. } = &mut connected;
        transport.write_all(&encode_subscribe(&[filter.to_owned()], self.common.load.qos(), self.version())?).await?;
        transport.flush().await?;
        loop {
            // What the session already had may come before the SUBACK.
            while let Some((packet, size)) = frame::read(received, self.version())? {
                match packet {
                    Received::SubAck { refused: 0, .. } => {
                        transport.write_all(&[0xE0, 0]).await?;
                        return Ok(transport.shutdown().await?);
                    }
                    Received::SubAck { .. } => bail!("client {}: its subscription was refused", settings.client_id),
                    _ => received.drain(..size),
                };
            }
            let read = tokio::time::timeout(ANSWER_WITHIN, transport.read_buf(received)).await;
            ensure!(read.context("no SUBACK")?? > 0, "the broker closed the connection before its SUBACK");
        }
    }

    /// Opens and leaves many sessions, several at a time, each with its filter.
    pub(crate) async fn visit_all(
        self: &Rc<Self>,
        sessions: impl Iterator<Item = (ClientSettings, String)>,
    ) -> Result<()> {
        ensure!(!self.connector.is_websocket(), "this row does not speak WebSocket");
        let mut waiting = sessions.enumerate();
        let mut visits = tokio::task::JoinSet::new();
        loop {
            while visits.len() < self.common.connects_in_flight.max(1)
                && let Some((place, (settings, filter))) = waiting.next()
            {
                let opener = self.clone();
                visits.spawn_local(async move { opener.visit(place, &settings, &filter).await });
            }
            let Some(finished) = visits.join_next().await else { return Ok(()) };
            finished??;
        }
    }

    pub(crate) fn version(&self) -> Version {
        self.common.target.version()
    }

    fn encode_connect(&self, settings: &ClientSettings) -> Result<Vec<u8>> {
        let version = self.version();
        let target = &self.common.target;
        let session_expiry_s = (!settings.clean_start && version.is_v5()).then_some(3600);
        let connect = Connect {
            version,
            clean_start: settings.clean_start,
            keep_alive_s: target.keep_alive,
            username: target.username.as_deref(),
            password: target.password.as_deref().map(str::as_bytes),
            properties: ConnectProperties { session_expiry_s, ..ConnectProperties::default() },
            ..Connect::new(&settings.client_id)
        };
        let mut packet = Vec::new();
        encode(&connect.into(), version, &mut packet)?;
        Ok(packet)
    }

    /// Connects many clients, several at a time, and hands each to `connected` in order of completion with its place in the list.
    pub(crate) async fn connect_all(
        self: &Rc<Self>,
        clients: Vec<ClientSettings>,
        mut connected: impl FnMut(usize, Connected) -> Result<()>,
    ) -> Result<()> {
        let mut waiting = clients.into_iter().enumerate();
        let mut handshakes = tokio::task::JoinSet::new();
        loop {
            while handshakes.len() < self.common.connects_in_flight.max(1)
                && let Some((place, settings)) = waiting.next()
            {
                let opener = self.clone();
                handshakes.spawn_local(async move { opener.connect(place, &settings).await.map(|link| (place, link)) });
            }
            let Some(finished) = handshakes.join_next().await else { return Ok(()) };
            let (place, link) = finished??;
            connected(place, link)?;
        }
    }

    /// Connects `count` clients named `role` and adds them to the engine; gives their links, in the order of their names.
    pub(crate) async fn add_links(
        self: &Rc<Self>,
        engine: &Shared,
        role: &str,
        count: u32,
        tracker_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<Vec<usize>> {
        self.add_sessions(engine, role, count, false, tracker_of).await
    }

    /// The same, with sessions that outlive their connections if `persistent`.
    pub(crate) async fn add_sessions(
        self: &Rc<Self>,
        engine: &Shared,
        role: &str,
        count: u32,
        persistent: bool,
        tracker_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<Vec<usize>> {
        let settings = if persistent { ClientSettings::persistent } else { ClientSettings::clean };
        let clients = (0..count).map(|number| settings(&self.run, &format!("{role}{number}"))).collect();
        let mut links = vec![0; count as usize];
        self.connect_all(clients, |place, connected| {
            links[place] = engine.add_link(connected, tracker_of(place as u32))?;
            Ok(())
        })
        .await?;
        Ok(links)
    }
}

fn check_connack(received: &Received<'_>) -> Result<Accepted> {
    match received {
        Received::ConnAck(Ok(accepted)) => Ok(*accepted),
        Received::ConnAck(Err(reason)) => bail!("the broker refused the connection: {reason}"),
        other => bail!("{other:?} in place of a CONNACK"),
    }
}

/// Subscribes each link to its filters, and waits for every SUBACK. Gives the seconds that it took.
pub(crate) async fn subscribe_all(
    engine: &Shared,
    version: Version,
    qos: QoS,
    subscriptions: &[(usize, Vec<String>)],
) -> Result<f64> {
    let started = Instant::now();
    let before = engine.with(|engine| engine.counters());
    let mut asked = 0;
    for (link, filters) in subscriptions {
        for chunk in filters.chunks(FILTERS_PER_PACKET) {
            let packet = encode_subscribe(chunk, qos, version)?;
            engine.with(|engine| engine.send(*link, |out| out.extend_from_slice(&packet)));
            asked += 1;
            let answered_min = before.subacks + asked - SUBSCRIBES_IN_FLIGHT.min(asked);
            if engine.with(|engine| engine.counters().subacks) < answered_min {
                engine.wait(ANSWER_WITHIN, "SUBACK", |engine| engine.counters().subacks >= answered_min).await?;
            }
        }
    }
    engine.wait(ANSWER_WITHIN, "SUBACK", |engine| engine.counters().subacks >= before.subacks + asked).await?;
    let refused = engine.with(|engine| engine.counters().refused) - before.refused;
    ensure!(refused == 0, "the broker refused {refused} subscriptions");
    Ok(started.elapsed().as_secs_f64())
}

/// One SUBSCRIBE. Its id is always the same: SUBACKs are counted, not matched, and a client here has one SUBSCRIBE of a kind in flight.
pub(crate) fn encode_subscribe(filters: &[String], qos: QoS, version: Version) -> Result<Vec<u8>> {
    let list = filters
        .iter()
        .map(|filter| Ok(Subscription::new(TopicFilter::parse(filter)?, qos)))
        .collect::<Result<Vec<_>, mooring_protocol::TopicError>>()?;
    let mut packet = Vec::new();
    encode(&Subscribe::new(PacketId::FIRST, &list).into(), version, &mut packet)?;
    Ok(packet)
}
