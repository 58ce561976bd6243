//! Carries away what the engine has. Woken once by whatever the same turn of the event loop brought: tasks run in the order in which they were
//! woken, so the pump runs behind all of them, and each socket is written once.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mooring_core::{AccessQuestion, Engine, LogSequence, Now, ShardId, ShardMessage};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Shard;
use crate::handover::{LogInput, ShardInput};

/// Bytes read after which the pump runs at once instead of behind all others: bounds what waits in the engine.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Bytes of messages that wait for another shard, beyond which nothing is read from sockets until it has taken them.
pub(super) const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// With no deadline, the timer rests so long.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Runs for as long as the shard does.
pub(super) async fn run(shard: Rc<Shard>) {
    let mut timer = pin!(sleep_until(Instant::now() + FAR));
    // The deadline that the timer is set to.
    let mut armed_ms = u64::MAX;
    poll_fn(|cx| poll(&shard, timer.as_mut(), &mut armed_ms, cx)).await;
}

fn poll(shard: &Rc<Shard>, mut timer: Pin<&mut Sleep>, armed_ms: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        if timer.as_mut().poll(cx).is_ready() {
            let now = shard.now();
            shard.engine.borrow_mut().handle_timeout(now);
            shard.pump.due.set(true);
            *armed_ms = u64::MAX;
            timer.as_mut().reset(Instant::now() + FAR);
        }
        if !shard.pump.due.get() {
            shard.pump.waker.borrow_mut().clone_from(cx.waker());
            return Poll::Pending;
        }
        shard.pump();
        let deadline_ms = shard.engine.borrow().poll_deadline().unwrap_or(u64::MAX);
        // A later deadline waits for the timer to fire: setting it anew for each packet would cost more.
        if deadline_ms < *armed_ms {
            *armed_ms = deadline_ms;
            let soonest = Instant::now() + Duration::from_millis(1);
            timer.as_mut().reset(Instant::from_std(shard.shared.clock.instant_of(deadline_ms)).max(soonest));
        } else if !shard.pump.due.get() {
            continue;
        } else {
            // More to send than one turn allows: others first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    }
}

/// What goes to one other shard.
#[derive(Default)]
struct Batch {
    messages: Vec<ShardMessage>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, message: ShardMessage) {
        self.bytes += match &message {
            ShardMessage::Publish { message, .. } => message.size_bytes(),
            ShardMessage::Batch(batch) => batch.size_bytes(),
            _ => 0,
        };
        self.messages.push(message);
    }
}

impl Shard {
    /// The engine has, or may have, something to carry away.
    pub(crate) fn schedule_pump(&self) {
        if !self.pump.due.replace(true) {
            self.pump.waker.borrow().wake_by_ref();
        }
    }

    /// A turn has handed this many bytes to the engine.
    pub(crate) fn turn_done(self: &Rc<Self>, bytes: usize) {
        let read = self.pump.read_bytes.get() + bytes;
        self.pump.read_bytes.set(read);
        if read > READ_BYTES_MAX {
            self.pump();
        }
        self.schedule_pump();
    }

    /// Carries away all that there is.
    pub(super) fn pump(self: &Rc<Self>) {
        self.pump.due.set(false);
        self.pump.read_bytes.set(0);
        let now = self.now();
        let mut again = std::mem::take(&mut *self.pump.again.borrow_mut());
        let mut engine = self.engine.borrow_mut();
        loop {
            self.carry_records(&mut engine);
            self.carry_reads(&mut engine);
            let changed = self.carry_shard_messages(&mut engine, now);
            self.carry_services(&mut engine);
            self.carry_notices(&mut engine, now);
            self.carry_exchanges(&mut engine);
            self.carry_questions(&mut engine);
            // A send may fail, and a drain may drop what has expired: both give the engine more to say.
            if !self.flush_dirty(&mut engine, now, &mut again) && !changed {
                break;
            }
        }
        while let Some(id) = engine.poll_resume() {
            if let Some(connection) = self.connection(id) {
                connection.resume();
            }
        }
    }

    /// Before the messages for other shards: what refers to a record is logged behind it.
    fn carry_records(&self, engine: &mut Engine) {
        let Some(first) = engine.poll_log() else {
            return;
        };
        let mut records = vec![first];
        while let Some(record) = engine.poll_log() {
            records.push(record);
        }
        let last = self.log_sequence.get() + records.len() as u64;
        self.log_sequence.set(last);
        // A log that has failed takes nothing, and nothing is acknowledged.
        let _ = self.shared.log.push(LogInput::Append { shard: self.id, records, last: LogSequence(last) });
    }

    fn carry_reads(&self, engine: &mut Engine) {
        let Some(first) = engine.poll_read() else {
            return;
        };
        let mut ids = vec![first];
        while let Some(id) = engine.poll_read() {
            ids.push(id);
        }
        let _ = self.shared.log.push(LogInput::Read { shard: self.id, ids });
    }

    /// Whether the engine was told something meanwhile.
    fn carry_shard_messages(&self, engine: &mut Engine, now: Now) -> bool {
        let mut batches: BTreeMap<ShardId, Batch> = BTreeMap::new();
        let mut changed = false;
        while let Some((to, message)) = engine.poll_shard() {
            if to == self.id {
                engine.handle_shard_message(now, to, message);
                changed = true;
            } else {
                batches.entry(to).or_default().push(message);
            }
        }
        for (to, batch) in batches {
            // Refused only while the server stops.
            let pushed = self
                .shared
                .mailbox(to)
                .map(|mailbox| mailbox.push_sized(ShardInput::Shard(self.id, batch.messages), batch.bytes));
            if matches!(pushed, Some(Ok(waiting)) if waiting > WAITING_BYTES_MAX) {
                self.congested.set(true);
            }
        }
        changed
    }

    fn carry_services(&self, engine: &mut Engine) {
        while let Some(message) = engine.poll_service() {
            self.shared.taps.offer(&message);
        }
        while let Some((token, receivers)) = engine.poll_service_done() {
            if let Some(done) = self.publishing.borrow_mut().remove(&token) {
                // Whoever published may not wait for it.
                let _ = done.send(receivers);
            }
        }
    }

    fn carry_exchanges(self: &Rc<Self>, engine: &mut Engine) {
        while let Some(input) = engine.poll_exchange() {
            if let Some(connection) = self.connection(input.connection) {
                self.step_exchange(connection, input);
            }
        }
    }

    fn carry_questions(self: &Rc<Self>, engine: &mut Engine) {
        while let Some(AccessQuestion { connection, epoch, answering }) = engine.poll_question() {
            let shard = Rc::clone(self);
            tokio::task::spawn_local(async move {
                let permits = answering.await;
                shard.engine.borrow_mut().handle_answers(shard.now(), connection, epoch, permits);
                shard.schedule_pump();
            });
        }
    }

    fn carry_notices(&self, engine: &mut Engine, now: Now) {
        while let Some(notice) = engine.poll_notice() {
            self.tell(now.unix_ms, notice);
        }
    }
}
