//! Enhanced authentication (5.0, section 4.12): the AUTH packets between CONNECT and CONNACK, and those of a client that authenticates again.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use mooring_core::{Exchange, ExchangeAttempt, ExchangeInput, ExchangeStep, Principal, Refusal};
use mooring_protocol::{Auth, Connect, Packet, ReasonCode, Version, decode, encode, peek_header};

use crate::client_handshake::Failure;
use crate::connection::Connection;
use crate::handover::Entry;
use crate::shard::Shard;
use crate::transport::Transport;

/// What a client that was authenticated is told in CONNACK.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) data: Option<Box<[u8]>>,
}

/// Authenticates a CONNECT that names a method. `rest` is what came behind it, and then what came behind the last AUTH.
pub(crate) async fn authenticate(
    shard: &Shard,
    transport: &mut Transport,
    (connect, method): (&Connect<'_>, &str),
    entry: &Entry,
    rest: &mut Vec<u8>,
) -> Result<(Principal, Exchanged), Failure> {
    let attempt = ExchangeAttempt {
        method,
        client_id: connect.client_id,
        address: &entry.address,
        listener: &entry.listener.name,
    };
    let Some(mut exchange) = shard.shared.authenticate.exchange(attempt) else {
        // [MQTT-4.12.0-1]
        return Err(refused(ReasonCode::BadAuthenticationMethod, "the authentication method is not offered"));
    };
    let mut data = connect.properties.authentication_data.map(Box::from);
    loop {
        match exchange.step(data.as_deref()).await {
            ExchangeStep::Continue(challenge) => {
                send_challenge(transport, method, &challenge).await?;
                data = receive_auth(shard, transport, method, rest).await?;
            }
            ExchangeStep::Done { principal, data } => return Ok((principal, Exchanged { data })),
            ExchangeStep::Refuse(refusal) => return Err(Failure::Refused(refusal)),
        }
    }
}

fn refused(reason: ReasonCode, why: &str) -> Failure {
    Failure::Refused(Refusal { reason, why: Arc::from(why) })
}

async fn send_challenge(transport: &mut Transport, method: &str, challenge: &[u8]) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let auth = Auth::new(ReasonCode::ContinueAuthentication, method, Some(challenge));
    if encode(&auth.into(), Version::V5, &mut bytes).is_err() {
        return Err(refused(ReasonCode::ImplementationSpecificError, "the method's message does not fit a packet"));
    }
    let mut written = 0;
    while let Some(left) = bytes.get(written..).filter(|left| !left.is_empty()) {
        match poll_fn(|cx| transport.poll_write(cx, left)).await? {
            0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            count => written += count,
        }
    }
    Ok(poll_fn(|cx| transport.poll_flush(cx)).await?)
}

/// Waits for the next AUTH, and takes it from `rest`.
async fn receive_auth(
    shard: &Shard,
    transport: &mut Transport,
    method: &str,
    rest: &mut Vec<u8>,
) -> Result<Option<Box<[u8]>>, Failure> {
    loop {
        if let Some((data, packet_bytes)) = next_auth(shard, method, rest)? {
            rest.drain(..packet_bytes);
            return Ok(data);
        }
        let ended = poll_fn(|cx| {
            let mut scratch = shard.scratch.borrow_mut();
            let read = ready!(transport.poll_read(cx, &mut scratch))?;
            rest.extend_from_slice(scratch.plain.get(..read.bytes).unwrap_or_default());
            // The answer to a WebSocket ping; what the socket does not take goes out before the next packet.
            let _ = transport.poll_flush(cx)?;
            Poll::Ready(Ok::<_, io::Error>(read.ended))
        });
        if ended.await? {
            return Err(Failure::Left);
        }
    }
}

/// The message of a client's method, and the size of the packet that it was in.
type Received = (Option<Box<[u8]>>, usize);

/// The first packet, which may be nothing but AUTH or DISCONNECT. [MQTT-3.1.2-30]
fn next_auth(shard: &Shard, method: &str, bytes: &[u8]) -> Result<Option<Received>, Failure> {
    let bytes_max = shard.shared.config.connections.connect_bytes_max;
    if peek_header(bytes).ok().flatten().is_some_and(|header| header.packet_size() > bytes_max) {
        return Err(refused(ReasonCode::PacketTooLarge, "AUTH is larger than a CONNECT may be"));
    }
    let auth = match decode(bytes, Version::V5, &shard.decode_limits.get()) {
        Ok(None) => return Ok(None),
        Ok(Some((Packet::Auth(auth), packet_bytes))) => (auth, packet_bytes),
        Ok(Some((Packet::Disconnect(_), _))) => return Err(Failure::Left),
        Ok(Some(_)) => return Err(refused(ReasonCode::ProtocolError, "another packet than AUTH before CONNACK")),
        Err(error) => return Err(refused(error.reason(), &error.to_string())),
    };
    let (auth, packet_bytes) = auth;
    if auth.reason != ReasonCode::ContinueAuthentication {
        return Err(refused(ReasonCode::ProtocolError, "AUTH that does not continue"));
    }
    match auth.properties.authentication_method {
        // [MQTT-4.12.0-5]
        Some(named) if named == method => Ok(Some((auth.properties.authentication_data.map(Box::from), packet_bytes))),
        Some(_) => Err(refused(ReasonCode::BadAuthenticationMethod, "another authentication method than CONNECT")),
        None => Err(refused(ReasonCode::ProtocolError, "AUTH that names no method")),
    }
}

impl Shard {
    /// A client authenticates again: its exchange has a message to take.
    pub(crate) fn step_exchange(self: &Rc<Self>, connection: Rc<Connection>, input: ExchangeInput) {
        if input.begins {
            let attempt = ExchangeAttempt {
                method: &input.method,
                client_id: input.client_id.as_str(),
                address: &input.principal.address,
                listener: &input.principal.listener,
            };
            connection.exchange.replace(self.shared.authenticate.exchange(attempt));
        }
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let exchange = connection.exchange.take();
            let step = step(exchange, &connection, input.data.as_deref()).await;
            shard.engine.borrow_mut().handle_exchange_step(shard.now(), input.connection, input.epoch, step);
            shard.schedule_pump();
        });
    }
}

async fn step(exchange: Option<Box<dyn Exchange>>, connection: &Connection, data: Option<&[u8]>) -> ExchangeStep {
    let Some(mut exchange) = exchange else {
        let why = Arc::from("the authentication method is no longer offered");
        return ExchangeStep::Refuse(Refusal { reason: ReasonCode::NotAuthorized, why });
    };
    let step = exchange.step(data).await;
    if matches!(step, ExchangeStep::Continue(_)) {
        connection.exchange.replace(Some(exchange));
    }
    step
}
