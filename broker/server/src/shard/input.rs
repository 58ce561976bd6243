//! What comes from other threads.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mooring_core::{ServicePublish, SessionSelector};
use mooring_protocol::ReasonCode;
use tokio::sync::oneshot;

use super::pump::WAITING_BYTES_MAX;
use super::{Shard, decode_limits};
use crate::handover::{Accepted, Inspected, Newcomer, ShardInput};
use crate::transport::PortableTransport;
use crate::{accept, client_handshake};

/// Takes what other threads push until one of them says stop.
pub(super) async fn run(shard: Rc<Shard>) {
    let Some(mailbox) = shard.shared.mailbox(shard.id) else {
        return;
    };
    let mut inputs = Vec::new();
    loop {
        mailbox.filled().await;
        if mailbox.take(&mut inputs) > WAITING_BYTES_MAX {
            shard.tell_room();
        }
        for input in inputs.drain(..) {
            if matches!(input, ShardInput::Stop) {
                shard.pump();
                return;
            }
            shard.handle(input);
        }
        shard.schedule_pump();
        // Other shards may push faster than this: sockets and the pump have their turn too.
        behind_the_others().await;
    }
}

/// Goes to the end of the run queue.
async fn behind_the_others() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Shard {
    /// Whoever filled the mailbox has stopped to read.
    fn tell_room(&self) {
        for mailbox in &self.shared.shards {
            // Refused only while the server stops.
            let _ = mailbox.push(ShardInput::Room);
        }
    }

    fn handle(self: &Rc<Self>, input: ShardInput) {
        let now = self.now();
        match input {
            ShardInput::Shard(from, messages) => {
                let mut engine = self.engine.borrow_mut();
                messages.into_iter().for_each(|message| engine.handle_shard_message(now, from, message));
            }
            ShardInput::Room => self.resume_held(),
            ShardInput::Durable(sequence) => self.engine.borrow_mut().handle_log_durable(now, sequence),
            ShardInput::Read(messages) => {
                let mut engine = self.engine.borrow_mut();
                messages.into_iter().for_each(|(id, message)| engine.handle_read(now, id, message));
            }
            ShardInput::Listen(config, listener) => {
                let accepting = tokio::task::spawn_local(accept::run(Rc::clone(self), config, listener));
                self.accepting.borrow_mut().push(accepting.abort_handle());
            }
            ShardInput::Accepted(accepted) => self.begin_handshake(*accepted),
            ShardInput::Handover(newcomer) => self.take_over(*newcomer),
            ShardInput::Publish(publish, done) => self.publish(*publish, done),
            ShardInput::Tap(filters) => self.engine.borrow_mut().handle_service_subscribe(&filters),
            ShardInput::Disconnect { selector, reason, why, purge, ended } => {
                let count = self.engine.borrow_mut().handle_disconnect(now, &selector, reason, &why, purge);
                self.end_blocked();
                // Whoever asked may not wait for it.
                let _ = ended.send(count);
            }
            ShardInput::AccessChanged(identity) => {
                self.engine.borrow_mut().handle_access_changed(now, identity.as_ref());
            }
            ShardInput::Limits(limits) => {
                self.decode_limits.set(decode_limits(&limits));
                self.engine.borrow_mut().handle_limits(*limits);
            }
            ShardInput::Inspect(look) => {
                look(&Inspected { engine: &self.engine.borrow(), timeline: &self.timeline.borrow() });
            }
            ShardInput::Barrier(reached) => {
                self.pump();
                reached();
            }
            // Whoever waits for a publish hears that it will not be done.
            ShardInput::LogFailed => self.publishing.borrow_mut().clear(),
            ShardInput::Drain(done) => self.drain(done),
            ShardInput::Stop => {}
        }
    }

    fn publish(&self, mut publish: ServicePublish, done: oneshot::Sender<usize>) {
        // Without a log nothing is ever done: whoever waits is told, by the end of `done`.
        if self.shared.has_failed() {
            return;
        }
        publish.token = self.next_token();
        self.publishing.borrow_mut().insert(publish.token, done);
        self.engine.borrow_mut().handle_service_publish(self.now(), publish);
    }

    fn begin_handshake(self: &Rc<Self>, accepted: Accepted) {
        match accepted.stream.attach() {
            Ok(stream) => {
                tokio::task::spawn_local(client_handshake::run(Rc::clone(self), stream, accepted.entry));
            }
            Err(error) => tracing::debug!(%error, "socket lost on its way to its shard"),
        }
    }

    fn take_over(self: &Rc<Self>, newcomer: Newcomer<PortableTransport>) {
        match newcomer.with(PortableTransport::attach) {
            Ok(newcomer) => self.welcome(newcomer),
            Err(error) => tracing::debug!(%error, "connection lost on its way to its shard"),
        }
    }

    pub(super) fn next_token(&self) -> u64 {
        let token = self.next_token.get();
        self.next_token.set(token + 1);
        token
    }

    /// Stops to accept, ends every connection, and says when the last is gone or out of time.
    fn drain(self: &Rc<Self>, done: Box<dyn FnOnce() + Send>) {
        self.accepting.borrow_mut().drain(..).for_each(|accepting| accepting.abort());
        let reason = ReasonCode::ServerShuttingDown;
        self.engine.borrow_mut().handle_disconnect(self.now(), &SessionSelector::All, reason, "shutting down", false);
        self.end_blocked();
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let flush_within = Duration::from_millis(shard.shared.config.shutdown_flush_ms_max);
            // Who has not taken its last bytes by then does not get them.
            let _ = tokio::time::timeout(flush_within, shard.all_gone()).await;
            shard.pump();
            done();
        });
    }
}
