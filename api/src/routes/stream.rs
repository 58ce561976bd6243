//! Server-sent events: what one's devices say, as they say it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use mooring_store::{EventRow, EventsSince, PageRequest};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use utoipa::ToSchema;
use uuid::Uuid;

use super::events::shown;
use crate::caller::{Caller, Scope, presented};
use crate::stream::{Listening, LiveEvent, Place};
use crate::{ApiContext, Problem};

/// Frames that wait for a client that reads slowly.
const FRAMES_MAX: usize = 64;
/// How often it is looked whether the token and the rights still hold. Changes of rights in this server are told at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A line now and then keeps proxies from closing a quiet stream, and finds out when the client is gone.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long a client may leave frames unread.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// What is given again at most; a client that missed more fetches anew.
const REPLAY_MAX: u32 = 1_000;
/// How long the database may be behind the log when a stream goes on.
const CATCH_UP: Duration = Duration::from_secs(5);
/// The most devices of one stream.
const DEVICES_MAX: usize = 5_000;

/// Watch your devices
///
/// Server-sent events: `telemetry`, `event`, `log`, `state`, `presence`, `command-result` and `update-status` of all devices in which you have a part,
/// as far as it includes them. A stream that goes on with `Last-Event-ID` gets what it missed, up to 1,000 events; `event: gap` says that it was more.
/// `event: end` says why the stream ends: the token or a grant ended, or the client did not keep up.
#[utoipa::path(
    get, path = "/v1/stream", tag = "devices",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received")),
    responses((status = 200, description = "A stream that goes on until one side ends it; the schema is that of `data` of what devices said", body = StreamEvent, content_type = "text/event-stream")),
)]
pub(super) async fn watch(
    State(context): State<ApiContext>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.user()?;
    let last = headers.get("last-event-id").map(EventId::read).transpose()?;
    let token = presented(&headers).map(|(_, token)| token).unwrap_or_default().to_owned();
    let parts = Parts::load(&context, user).await?;
    let listening = context.sharing.streams.listen(user, parts.devices())?;
    let (frames, waiting) = mpsc::channel(FRAMES_MAX);
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let generation = generation(&context);
    let stream =
        Stream { context, user, token, expires_at: caller.expires_at(), parts, listening, frames, tick, generation };
    let missed = match last {
        Some(last) => stream.missed(&last).await?,
        None => Missed { events: Vec::new(), gap: false },
    };
    tokio::spawn(stream.run(missed));
    Ok(response(waiting))
}

fn response(waiting: mpsc::Receiver<Bytes>) -> Response {
    let frames = futures_util::stream::unfold(waiting, async |mut waiting| {
        let frame = waiting.recv().await?;
        Some((Ok::<Bytes, Infallible>(frame), waiting))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn generation(context: &ApiContext) -> u64 {
    mooring_core::Access::generation(&*context.rights)
}

/// Names an event for `Last-Event-ID`: its time and its position.
struct EventId {
    at_unix_ms: i64,
    position: u64,
}

impl EventId {
    fn read(value: &HeaderValue) -> Result<Self, Problem> {
        let parts = value.to_str().ok().and_then(|text| text.split_once('-'));
        let parsed = parts.and_then(|(at, position)| {
            let at_unix_ms = at.parse().ok().filter(|at| (0..=MAX_UNIX_MS).contains(at))?;
            Some(Self {
                at_unix_ms,
                position: position.parse().ok().filter(|position| i64::try_from(*position).is_ok())?,
            })
        });
        parsed.ok_or_else(|| Problem::invalid_request("Last-Event-ID is the id of an event of this stream."))
    }
}

/// The year 9999: beyond it there are no times.
const MAX_UNIX_MS: i64 = 253_402_300_799_000;

/// What happened while the client was away.
struct Missed {
    events: Vec<EventRow>,
    gap: bool,
}

/// The parts that somebody has in devices: a stream ends when one of them ends.
#[derive(Clone, Default)]
struct Parts {
    /// Owned devices, with the time before which nothing is for the owner's eyes.
    owned: BTreeMap<Uuid, Option<OffsetDateTime>>,
    /// By the grant's id: the device, its scopes, and when it ends.
    granted: BTreeMap<Uuid, (Uuid, String, Option<OffsetDateTime>)>,
}

impl Parts {
    async fn load(context: &ApiContext, user: Uuid) -> Result<Self, Problem> {
        let mut parts = Self::default();
        let mut page = PageRequest::first(PageRequest::LIMIT_MAX);
        loop {
            let devices = context.store.devices_of_owner(user, &page).await?;
            parts.owned.extend(devices.items.iter().map(|device| (device.id, device.history_from)));
            if parts.owned.len() > DEVICES_MAX {
                return Err(Problem::invalid_request(format!("A stream has at most {DEVICES_MAX} devices.")));
            }
            let Some(next) = devices.next else { break };
            page = PageRequest::after(next, PageRequest::LIMIT_MAX);
        }
        for grant in context.store.grants_of_user(user, OffsetDateTime::now_utc()).await? {
            let scopes = format!("{} {}", grant.role.as_str(), grant.scopes.join(" "));
            parts.granted.insert(grant.id, (grant.device, scopes, grant.until));
        }
        Ok(parts)
    }

    fn devices(&self) -> BTreeSet<Uuid> {
        self.owned.keys().copied().chain(self.granted.values().map(|(device, ..)| *device)).collect()
    }

    /// Whether something that was here before is not any more.
    fn lacks(&self, before: &Self) -> bool {
        let owned = before.owned.keys().all(|device| self.owned.contains_key(device));
        let granted = before
            .granted
            .iter()
            .all(|(id, (_, scopes, _))| self.granted.get(id).is_some_and(|(_, now, _)| now == scopes));
        !(owned && granted)
    }

    /// When the first grant ends by itself.
    fn first_end(&self) -> Option<OffsetDateTime> {
        self.granted.values().filter_map(|(_, _, until)| *until).min()
    }
}

struct Stream {
    context: ApiContext,
    user: Uuid,
    token: String,
    expires_at: Option<OffsetDateTime>,
    parts: Parts,
    listening: Listening,
    frames: mpsc::Sender<Bytes>,
    tick: Interval,
    generation: u64,
}

/// Why a stream ends.
enum End {
    /// The client is gone, or reads no more: there is nobody to tell.
    ClientGone,
    /// What the client is told.
    Because(&'static str),
}

impl Stream {
    /// What happened since the last event that the client had, up to where the live events begin. The database may be a moment behind.
    async fn missed(&self, last: &EventId) -> Result<Missed, Problem> {
        let streams = &self.context.sharing.streams;
        let before = self.listening.position;
        let caught_up = timeout(CATCH_UP, async {
            while self.context.store.cursor(streams.source()).await? < before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Problem>(())
        });
        caught_up.await.map_err(|_| Problem::unavailable("The database is behind; try again in a few seconds."))??;
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(last.at_unix_ms) * 1_000_000);
        let since = EventsSince {
            source: streams.source().to_owned(),
            after: last.position,
            before,
            // Shards number events in one order, and time them by clocks of their own.
            from: at.unwrap_or(OffsetDateTime::UNIX_EPOCH) - time::Duration::minutes(1),
            devices: self.parts.devices().into_iter().collect(),
            limit: REPLAY_MAX + 1,
        };
        let mut events = self.context.store.events_since(&since).await?;
        let gap = events.len() > usize::try_from(REPLAY_MAX).unwrap_or(usize::MAX);
        if gap {
            events.clear();
        }
        Ok(Missed { events, gap })
    }

    async fn run(mut self, missed: Missed) {
        if let Err(End::Because(why)) = self.go_on(missed).await {
            let frame = format!("event: end\ndata: {}\n\n", json!({"reason": why}));
            // A client that does not read is not told either.
            let _ = self.frames.try_send(Bytes::from(frame));
        }
    }

    async fn go_on(&mut self, missed: Missed) -> Result<Infallible, End> {
        self.open(missed).await?;
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        loop {
            let first_end = self.first_end();
            tokio::select! {
                biased;
                // Nobody reads any more: the rest need not be known.
                () = self.frames.closed() => return Err(End::ClientGone),
                changed = self.listening.changes.changed() => match changed {
                    Ok(()) => self.look_at_parts().await?,
                    Err(_) => return Err(End::Because("the server is shutting down")),
                },
                () = sleep_until(first_end) => self.look_at_end()?,
                _ = self.tick.tick() => self.look().await?,
                event = self.listening.events.recv() => match event {
                    Some(event) => self.give(event).await?,
                    None => return Err(End::Because("the client did not keep up")),
                },
                _ = heartbeat.tick() => self.push(":\n\n".to_owned()).await?,
            }
        }
    }

    async fn open(&mut self, missed: Missed) -> Result<(), End> {
        let now_ms = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        // The position before the first live event: what comes behind it was not seen yet.
        let position = self.listening.position.saturating_sub(1);
        if missed.gap {
            self.push(format!("event: gap\ndata: {}\n\n", json!({"reason": "more was missed than is given again"})))
                .await?;
        }
        for row in missed.events {
            self.give_again(&row).await?;
        }
        let devices = self.parts.devices().len();
        self.push(format!(
            "retry: 2000\nid: {now_ms}-{position}\nevent: open\ndata: {}\n\n",
            json!({"devices": devices})
        ))
        .await
    }

    /// Sends one frame. A client that reads slowly is waited for, for a while, and the stream's right to go on is looked at meanwhile.
    async fn push(&mut self, frame: String) -> Result<(), End> {
        let give_up = Instant::now() + UNREAD_MAX;
        let mut frame = Some(Bytes::from(frame));
        loop {
            tokio::select! {
                permit = self.frames.reserve() => {
                    let Ok(permit) = permit else { return Err(End::ClientGone) };
                    permit.send(frame.take().unwrap_or_default());
                    return Ok(());
                }
                () = sleep_until(give_up) => return Err(End::ClientGone),
                _ = self.tick.tick() => {}
            }
            self.look().await?;
        }
    }

    async fn give(&mut self, event: LiveEvent) -> Result<(), End> {
        let LiveEvent { position, message } = event;
        let topic = message.topic.as_str();
        // The rights in memory are asked for each event: what has just ended is not sent.
        if !self.context.sharing.may_hear(self.user, topic) {
            return Ok(());
        }
        let Some(place) = Place::of(topic) else { return Ok(()) };
        let at_unix_ms = message.accepted_at_unix_ms;
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_unix_ms) * 1_000_000);
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        self.push(frame(&format!("{at_unix_ms}-{position}"), at, &place, &message.payload)).await
    }

    async fn give_again(&mut self, row: &EventRow) -> Result<(), End> {
        let place = Place { device: row.device, kind: row.kind, name: row.name.clone(), request: row.request };
        let hidden = self.parts.owned.get(&row.device).copied().flatten().is_some_and(|from| row.at < from);
        if hidden || !self.context.sharing.may_hear(self.user, &place.topic()) {
            return Ok(());
        }
        let at_unix_ms = row.at.unix_timestamp_nanos() / 1_000_000;
        self.push(frame(&format!("{at_unix_ms}-{}", row.position), row.at, &place, &row.payload)).await
    }

    /// Whether the token still holds, and, when rights have changed anywhere, whether one's own have.
    async fn look(&mut self) -> Result<(), End> {
        self.look_at_end()?;
        match Caller::of_token_again(&self.context, &self.token).await {
            Ok(caller) if caller.user().ok() == Some(self.user) && caller.require(Scope::DevicesRead).is_ok() => {}
            Ok(_) => return Err(End::Because("the token ended")),
            Err(problem) if problem.is_passing() => {}
            Err(_) => return Err(End::Because("the token ended")),
        }
        if generation(&self.context) == self.generation { Ok(()) } else { self.look_at_parts().await }
    }

    async fn look_at_parts(&mut self) -> Result<(), End> {
        let generation = generation(&self.context);
        // With the database away the rights in memory still are asked for each event.
        let Ok(parts) = Parts::load(&self.context, self.user).await else { return Ok(()) };
        if parts.lacks(&self.parts) {
            return Err(End::Because("a grant ended"));
        }
        self.listening.set_devices(&parts.devices());
        (self.parts, self.generation) = (parts, generation);
        Ok(())
    }

    /// When the token, or the first of the grants, ends by itself; never is a day.
    fn first_end(&self) -> Instant {
        let first = [self.expires_at, self.parts.first_end()].into_iter().flatten().min();
        let left = first.map(|first| first - OffsetDateTime::now_utc());
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        Instant::now() + left.unwrap_or(NEVER).min(NEVER)
    }

    fn look_at_end(&self) -> Result<(), End> {
        let now = OffsetDateTime::now_utc();
        let is_over = |end: Option<OffsetDateTime>| end.is_some_and(|end| end <= now);
        match (is_over(self.expires_at), is_over(self.parts.first_end())) {
            (true, _) => Err(End::Because("the token ended")),
            (_, true) => Err(End::Because("a grant ended")),
            _ => Ok(()),
        }
    }
}

const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a device said: the `data` of an event of the stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamEvent {
    /// The device.
    device: Uuid,
    /// What it is; also the `event` of the wire.
    #[schema(value_type = String, example = "telemetry", pattern = "^(telemetry|event|log|state|presence|command-result|update-status)$")]
    kind: &'static str,
    /// When the broker had it.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// The name of the event or the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The request that a result answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Uuid>,
    /// The payload, when it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    /// The payload in base64, when it is anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// An event in the form of the stream. JSON has no line breaks of its own here, so that `data` is one line.
fn frame(id: &str, at: OffsetDateTime, place: &Place, payload: &[u8]) -> String {
    let (payload, payload_base64) = shown(payload);
    let kind = place.kind.as_str();
    let (name, request) = (place.name.clone(), place.request);
    let event = StreamEvent { device: place.device, kind, at, name, request, payload, payload_base64 };
    let data = serde_json::to_string(&event).unwrap_or_default();
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n")
}
