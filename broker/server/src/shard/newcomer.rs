//! Registers those that are let in, and forgets those that are gone.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mooring_core::notice::{Notice, NoticeKind};
use mooring_core::{ClientId, ConnectionId, Flow, Identity, Principal, Refusal, SessionKey};
use mooring_protocol::{Connect, Packet, ReasonCode, Version, decode};

use super::Shard;
use crate::admission::{Admitted, Full};
use crate::client_handshake::{ask, is_peers_fault};
use crate::connection::{Connection, Serving};
use crate::exchange::Exchanged;
use crate::handover::Newcomer;
use crate::metric_names;
use crate::refuse::refuse;
use crate::transport::Transport;

/// Whose timeline a refusal is in, when nobody knows who it was.
const UNKNOWN: &str = "unknown";

impl Shard {
    /// Gives a client that was let in to the engine, and its connection a task.
    pub(crate) fn welcome(self: &Rc<Self>, newcomer: Newcomer<Transport>) {
        if newcomer.disconnects == self.shared.disconnects.load(Ordering::SeqCst) {
            self.register(newcomer);
        } else {
            // Somebody was sent away since it was established who it is: it may be the one.
            tokio::task::spawn_local(Rc::clone(self).authenticate_again(newcomer));
        }
    }

    async fn authenticate_again(self: Rc<Self>, mut newcomer: Newcomer<Transport>) {
        newcomer.disconnects = self.shared.disconnects.load(Ordering::SeqCst);
        let received = std::mem::take(&mut newcomer.received);
        let Ok(Some((Packet::Connect(connect), _))) = decode(&received, Version::V5, &self.decode_limits.get()) else {
            return;
        };
        let address = Arc::clone(&newcomer.principal.address);
        if newcomer.exchanged.is_some() {
            // The client has shown who it is, and can't be asked once more on this connection.
            let why = Arc::from("somebody was sent away while it authenticated: it may try again");
            let refusal = Refusal { reason: ReasonCode::ServerBusy, why };
            self.tell_refused(&connect, &address, &refusal);
            refuse(&self, newcomer.transport, connect.version, refusal.reason).await;
            return;
        }
        let asked = ask(&self, &connect, newcomer.peer_certificate.as_deref(), &address, &newcomer.listener).await;
        match asked {
            Ok(principal) => {
                newcomer.principal = principal;
                newcomer.received = received;
                self.welcome(newcomer);
            }
            Err(refusal) => {
                self.tell_refused(&connect, &address, &refusal);
                if is_peers_fault(refusal.reason) {
                    self.shared.admission.fail(newcomer.admitted.address());
                }
                refuse(&self, newcomer.transport, connect.version, refusal.reason).await;
            }
        }
    }

    fn register(self: &Rc<Self>, newcomer: Newcomer<Transport>) {
        let Newcomer { transport, mut received, principal, mut admitted, slot, listener, exchanged, .. } = newcomer;
        // Who authenticates makes a text for each client.
        let principal = Principal { listener: Arc::clone(&listener.name), ..principal };
        let Ok(Some((Packet::Connect(connect), connect_bytes))) =
            decode(&received, Version::V5, &self.decode_limits.get())
        else {
            return;
        };
        let version = connect.version;
        if self.shared.is_stopping() {
            self.refuse_later(transport, version, ReasonCode::ServerUnavailable);
            return;
        }
        if let Err(full) = self.identify(&mut admitted, &connect, &principal) {
            metrics::counter!(metric_names::CONNECTIONS_REFUSED, "reason" => full.name()).increment(1);
            self.refuse_later(transport, version, ReasonCode::QuotaExceeded);
            return;
        }
        let id = self.connections.borrow_mut().vacant();
        let (now, mut engine) = (self.now(), self.engine.borrow_mut());
        let flow = match exchanged {
            None => engine.handle_connect(now, id, &connect, principal),
            Some(Exchanged { data }) => engine.handle_exchanged_connect(now, id, &connect, principal, data),
        };
        drop(engine);
        self.count_received(1, connect_bytes);
        received.drain(..connect_bytes);
        // The bytes of CONNECT are gone; so should their memory be.
        received.shrink_to_fit();
        let connection = Rc::new(Connection::new(id, version, transport, received, flow, admitted));
        self.connections.borrow_mut().insert(Rc::clone(&connection));
        drop(slot);
        tokio::task::spawn_local(Serving::Reading(Rc::clone(self), connection));
        if flow == Flow::Close {
            self.flush_later(id);
        }
        self.schedule_pump();
    }

    /// Counts a client as one of its identity's, or tells why it can't be.
    fn identify(&self, admitted: &mut Admitted, connect: &Connect<'_>, principal: &Principal) -> Result<(), Full> {
        let session = SessionKey { identity: principal.identity.clone(), client_id: ClientId::new(connect.client_id) };
        let takes_over = self.engine.borrow().is_connected(&session);
        admitted.identify(&principal.identity, takes_over).inspect_err(|_| {
            let why = Arc::from(format!("the identity has as many connections as it may (from {})", principal.address));
            let kind = NoticeKind::ConnectRefused { reason: ReasonCode::QuotaExceeded, why };
            self.tell(self.now().unix_ms, Notice { session, kind });
        })
    }

    /// Refuses a client without waiting for it.
    fn refuse_later(self: &Rc<Self>, transport: Transport, version: Version, reason: ReasonCode) {
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move { refuse(&shard, transport, version, reason).await });
    }

    /// The connection's number is free again.
    pub(super) fn forget(&self, id: ConnectionId) {
        self.connections.borrow_mut().remove(id);
        self.gone.notify_waiters();
    }

    /// Counts a connection that is over for the engine and still has its socket, while this is held.
    pub(crate) fn lingering(&self) -> Lingering<'_> {
        self.lingering.set(self.lingering.get() + 1);
        Lingering { shard: self }
    }

    /// Waits until no connection is left.
    pub(super) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.connections.borrow().count == 0 && self.lingering.get() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// A client was refused before the engine saw it.
    pub(crate) fn tell_refused(&self, connect: &Connect<'_>, address: &str, refusal: &Refusal) {
        let session = SessionKey { identity: Identity::new(UNKNOWN), client_id: ClientId::new(connect.client_id) };
        let why = Arc::from(format!("{} (from {address})", refusal.why));
        let kind = NoticeKind::ConnectRefused { reason: refusal.reason, why };
        self.tell(self.now().unix_ms, Notice { session, kind });
    }
}

/// See [`Shard::lingering`].
pub(crate) struct Lingering<'a> {
    shard: &'a Shard,
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.shard.lingering.set(self.shard.lingering.get().saturating_sub(1));
        self.shard.gone.notify_waiters();
    }
}
