//! The node: its engines, their mailboxes, and the log that they share.

use std::collections::{BTreeMap, VecDeque};

use mooring_core::{
    ConnectionId, DisconnectCause, Engine, LogSequence, MessageId, Notice, NoticeKind, Record, ShardId, ShardMessage,
};
use mooring_log::{EventReader, Log, LogError};

use crate::faults::Crash;
use crate::model::LATE_MS;
use crate::world::{Event, World};

/// One will in so many is followed by a crash.
const CRASH_AT_WILLS: u64 = 4;

/// A full disk is tried again after so long.
const RETRY_MS: u64 = 40;

pub(crate) struct Node {
    pub(crate) engines: Vec<Engine>,
    pub(crate) log: Log,
    pub(crate) reader: EventReader,
    /// Records that each shard has handed to the log.
    pub(crate) appended: Vec<u64>,
    mail: BTreeMap<(usize, usize), VecDeque<ShardMessage>>,
    commit_due: bool,
    deadlines: Vec<Option<u64>>,
    /// Numbers of connections: free ones, and whose the others are.
    pub(crate) free_ids: Vec<Vec<u32>>,
    pub(crate) conns: BTreeMap<(usize, u32), usize>,
}

impl Node {
    pub(crate) fn new(engines: Vec<Engine>, log: Log) -> Self {
        let shards = engines.len();
        Self {
            reader: log.event_reader(),
            engines,
            log,
            appended: vec![0; shards],
            mail: BTreeMap::new(),
            commit_due: false,
            deadlines: vec![None; shards],
            free_ids: vec![Vec::new(); shards],
            conns: BTreeMap::new(),
        }
    }

    /// A number for a connection: one that was used before, if there is one.
    pub(crate) fn take_id(&mut self, shard: usize, conn: usize) -> ConnectionId {
        let used = self.conns.range((shard, 0)..(shard + 1, 0)).count() + self.free_ids[shard].len();
        let id = self.free_ids[shard].pop().unwrap_or_else(|| u32::try_from(used).unwrap());
        self.conns.insert((shard, id), conn);
        ConnectionId(id)
    }
}

impl World {
    /// The node, which must be up.
    pub(crate) fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("the node is up")
    }

    /// Carries away all that an engine has to say, as the driver must before it waits.
    pub(crate) fn pump(&mut self, shard: usize) {
        loop {
            let mut moved = false;
            while let Some(notice) = self.node().engines[shard].poll_notice() {
                self.hear(&notice);
                moved = true;
            }
            while let Some(message) = self.node().engines[shard].poll_service() {
                let number = crate::model::number_of(&message.payload).expect("a will has a number");
                self.trace(|_| format!("  will m{number} fires"));
                self.model.will_fired(number);
            }
            while let Some(record) = self.node().engines[shard].poll_log() {
                if !self.append(shard, &record) {
                    return;
                }
                moved = true;
            }
            while let Some((to, message)) = self.node().engines[shard].poll_shard() {
                self.send_mail(shard, usize::from(to.0), message);
                moved = true;
            }
            while let Some(id) = self.node().engines[shard].poll_read() {
                self.after(self.settings.read_ms_max, Event::Read(self.life, shard, id));
            }
            while let Some(ConnectionId(id)) = self.node().engines[shard].poll_dirty() {
                if let Some(conn) = self.node().conns.get(&(shard, id)).copied() {
                    self.schedule_drain(conn);
                }
            }
            while let Some(ConnectionId(id)) = self.node().engines[shard].poll_resume() {
                if let Some(conn) = self.node().conns.get(&(shard, id)).copied() {
                    self.conns[conn].paused = false;
                    self.schedule_up(conn);
                }
            }
            if !moved {
                break;
            }
        }
        self.close_marks();
        self.set_timer(shard);
    }

    pub(crate) fn close_marks(&mut self) {
        let appended = self.node().appended.iter().sum();
        self.model.marks.close(appended);
    }

    fn hear(&mut self, notice: &Notice) {
        let client = notice.session.client_id.as_str();
        self.trace(|_| format!("  {client}: {:?}", notice.kind));
        let client: usize = client[1..].parse().unwrap();
        match &notice.kind {
            NoticeKind::Connected { session_present, .. } => {
                self.model.entered(client, *session_present);
                if let Some((name, conn)) = self.model.live(client) {
                    self.conns[conn].session = Some(name);
                }
            }
            NoticeKind::Disconnected { cause: DisconnectCause::KeepAlive } => {
                self.model.connection_ended(client, false);
            }
            NoticeKind::Disconnected { cause: DisconnectCause::Protocol(reason, why) } => {
                panic!("c{client} is said to have broken the protocol: {reason:?}, {why}")
            }
            NoticeKind::Dropped { why, count } => {
                let rights = self.settings.rights_changes > 0 && *why == "no longer allowed";
                let expected = ["expired", "not reading"].contains(why) || rights;
                assert!(self.settings.tiny || expected, "c{client}: {count} dropped, {why}");
            }
            NoticeKind::ConnectRefused { why, .. } => panic!("c{client} was refused: {why}"),
            NoticeKind::Disconnected { .. }
            | NoticeKind::Subscribed { .. }
            | NoticeKind::Unsubscribed { .. }
            | NoticeKind::SubscribeRefused { .. }
            | NoticeKind::PublishRefused { .. }
            | NoticeKind::SessionEnded { .. } => {}
        }
    }

    /// Hands a record to the log. False when the node is gone.
    fn append(&mut self, shard: usize, record: &Record) -> bool {
        if let Record::Message { message, event: true, .. } = record
            && message.topic.as_str().starts_with("wills/")
            && let Some(number) = crate::model::number_of(&message.payload)
        {
            self.model.will_recorded(number);
            if self.settings.crashes > 0 && !self.is_calm && self.random.one_in(CRASH_AT_WILLS) {
                // While other shards have yet to hear of it.
                self.after(self.settings.commit_ms_max + self.settings.mailbox_ms_max, Event::Crash(self.life));
            }
        }
        self.trace(|_| format!("  log s{shard}: {}", short(record)));
        let node = self.node();
        node.appended[shard] += 1;
        if let Err(error) = node.log.append(record) {
            self.trace(|_| format!("append: {error}"));
            self.crash(Crash::Kill);
            return false;
        }
        if !node.commit_due {
            node.commit_due = true;
            self.after(self.settings.commit_ms_max, Event::Commit(self.life));
        }
        true
    }

    pub(crate) fn commit(&mut self) {
        let node = self.node();
        match node.log.commit() {
            Ok(_) => {
                node.commit_due = false;
                let appended = node.appended.clone();
                self.model.marks.commit(appended.iter().sum());
                for (shard, sequence) in appended.into_iter().enumerate() {
                    self.after(self.settings.mailbox_ms_max, Event::Durable(self.life, shard, sequence));
                }
            }
            Err(error) if error.is_retryable() => {
                self.trace(|_| format!("commit: {error}"));
                self.after(RETRY_MS, Event::Commit(self.life));
            }
            Err(error) => self.log_failed("commit", &error),
        }
    }

    /// The process ends when its log has failed; what the system had not written may be lost, whether the power goes or not.
    fn log_failed(&mut self, what: &str, error: &LogError) {
        self.trace(|_| format!("{what}: {error}"));
        assert!(!matches!(error, LogError::Damaged { .. }), "{what}: {error}");
        let crash = self.pick_crash();
        self.crash(crash);
    }

    pub(crate) fn tell_durable(&mut self, shard: usize, sequence: u64) {
        let now = self.now();
        self.node().engines[shard].handle_log_durable(now, LogSequence(sequence));
        self.pump(shard);
    }

    pub(crate) fn answer_read(&mut self, shard: usize, id: MessageId) {
        let now = self.now();
        match self.node().log.read(id) {
            Ok(message) => {
                self.trace(|_| format!("s{shard} read {id:?}: {}", message.is_some()));
                self.node().engines[shard].handle_read(now, id, message);
                self.pump(shard);
            }
            Err(error) => self.log_failed("read", &error),
        }
    }

    pub(crate) fn maintain(&mut self) {
        match self.node().log.maintain() {
            Ok(()) => {}
            Err(error) if error.is_retryable() => self.trace(|_| format!("maintain: {error}")),
            Err(error) => return self.log_failed("maintain", &error),
        }
        self.after(400, Event::Maintain(self.life));
    }

    pub(crate) fn read_events(&mut self) {
        let (cursor, events_max, bytes_max) = (self.cursor, self.random.size(1, 20), self.random.size(1, 5000));
        let batch = match self.node().reader.next(cursor, events_max, bytes_max) {
            Ok(batch) => batch,
            Err(error) => return self.log_failed("read events", &error),
        };
        for (position, message) in &batch.events {
            assert!(*position >= self.cursor, "an event at {position} comes again, the cursor is at {}", self.cursor);
            self.model.event_read(message);
        }
        assert!(batch.next >= cursor, "the cursor goes back from {cursor} to {}", batch.next);
        self.cursor = batch.next;
        if self.random.one_in(2) {
            let cursor = self.cursor;
            self.node().log.release_events(cursor);
        }
        let is_behind = self.cursor < self.node().reader.end();
        self.after(if self.is_calm && is_behind { 5 } else { 300 }, Event::Spool(self.life));
    }

    fn send_mail(&mut self, from: usize, to: usize, message: ShardMessage) {
        let queue = self.node().mail.entry((from, to)).or_default();
        queue.push_back(message);
        if queue.len() == 1 {
            self.after(self.settings.mailbox_ms_max, Event::Mail(self.life, from, to));
        }
    }

    /// In order for each pair; sometimes all at once, sometimes one by one.
    pub(crate) fn deliver_mail(&mut self, from: usize, to: usize) {
        let (now, all) = (self.now(), self.random.one_in(2));
        loop {
            let Some(message) = self.node().mail.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return };
            self.trace(|_| format!("s{from} -> s{to}: {}", short(&message)));
            self.node().engines[to].handle_shard_message(now, ShardId(u16::try_from(from).unwrap()), message);
            self.pump(to);
            let Some(node) = &mut self.node else { return };
            if node.mail.get(&(from, to)).is_none_or(VecDeque::is_empty) {
                return;
            }
            if !all {
                self.after(self.settings.mailbox_ms_max, Event::Mail(self.life, from, to));
                return;
            }
        }
    }

    fn set_timer(&mut self, shard: usize) {
        let started_ms = self.started_ms;
        let node = self.node();
        let Some(deadline) = node.engines[shard].poll_deadline() else { return };
        let deadline = deadline + started_ms;
        if node.deadlines[shard].is_none_or(|set| deadline < set) {
            node.deadlines[shard] = Some(deadline);
            let late = self.random.between(0, LATE_MS);
            self.at(deadline.max(self.now_ms) + late, Event::Timer(self.life, shard));
        }
    }

    pub(crate) fn timer(&mut self, shard: usize) {
        let now = self.now();
        let node = self.node();
        node.deadlines[shard] = None;
        if node.engines[shard].poll_deadline().is_some_and(|deadline| deadline <= now.monotonic_ms) {
            node.engines[shard].handle_timeout(now);
        }
        self.pump(shard);
    }
}

/// A value in few words: payloads as text, and no more than a line.
fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.split_once("payload: [") {
        Some((before, after)) => {
            let (payload, rest) = after.split_once(']').unwrap_or((after, ""));
            let bytes = payload.split(", ").take(8).filter_map(|byte| byte.parse().ok()).collect::<Vec<u8>>();
            let rest = rest.split_once("properties: None }").map_or(rest, |(_, rest)| rest);
            let rest: String = rest.chars().take(200).collect();
            format!("{before}{:?}{rest}", String::from_utf8_lossy(&bytes))
        }
        None => text.chars().take(200).collect(),
    }
}
