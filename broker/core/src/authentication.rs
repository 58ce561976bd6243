//! Enhanced authentication on a connection that has one (5.0, section 4.12). What the messages say is for the driver's [`crate::Exchange`]; whether they
//! may come, and what the answers mean, is decided here. Nothing else on the connection waits for it. [MQTT-4.12.1-1]

use std::sync::Arc;

use mooring_protocol::{Auth, ReasonCode};

use crate::access::{ExchangeStep, Principal};
use crate::engine::{ConnectionId, Engine, Now};
use crate::session_key::ClientId;

/// What CONNECT established.
#[derive(Debug)]
pub(crate) struct Authentication {
    method: Arc<str>,
    turn: Turn,
}

/// Whose message is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nobody's: no authentication is under way.
    Nobody,
    /// The driver's, to whom the client's last one was given.
    Server,
    Client,
}

impl Authentication {
    pub(crate) fn new(method: &str) -> Self {
        Self { method: method.into(), turn: Turn::Nobody }
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }
}

/// A message of a client that authenticates again, for its exchange.
#[derive(Clone, Debug)]
pub struct ExchangeInput {
    /// The connection.
    pub connection: ConnectionId,
    /// To be given back with the answer: it tells this connection from a later one of the same number.
    pub epoch: u64,
    /// Whether the client begins, so that a new exchange takes the message.
    pub begins: bool,
    /// The method of the connection.
    pub method: Arc<str>,
    /// The client's id.
    pub client_id: ClientId,
    /// Who the client was so far.
    pub principal: Principal,
    /// The message.
    pub data: Option<Box<[u8]>>,
}

impl Engine {
    /// AUTH of the client.
    pub(crate) fn handle_auth(&mut self, now: Now, id: ConnectionId, auth: &Auth<'_>) {
        if let Err((reason, why)) = self.begin_step(id, auth) {
            self.protocol_error(now, id, reason, why);
        }
    }

    fn begin_step(&mut self, id: ConnectionId, auth: &Auth<'_>) -> Result<(), (ReasonCode, &'static str)> {
        let wrong = |why| Err((ReasonCode::ProtocolError, why));
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let epoch = connection.epoch;
        let Some(known) = &mut connection.authentication else {
            // [MQTT-4.12.0-6]
            return wrong("AUTH without authentication method");
        };
        match auth.properties.authentication_method {
            // [MQTT-4.12.0-5]
            Some(method) if *method == *known.method => {}
            Some(_) => return Err((ReasonCode::BadAuthenticationMethod, "another authentication method than CONNECT")),
            None => return wrong("AUTH that names no method"),
        }
        let begins = match (auth.reason, known.turn) {
            (ReasonCode::ReAuthenticate, Turn::Nobody) => true,
            (ReasonCode::ContinueAuthentication, Turn::Client) => false,
            _ => return wrong("AUTH out of turn"),
        };
        known.turn = Turn::Server;
        let method = Arc::clone(&known.method);
        let Some(session) = self.sessions.get(connection.session) else { return Ok(()) };
        self.exchange_inputs.push_back(ExchangeInput {
            connection: id,
            epoch,
            begins,
            method,
            client_id: session.key.client_id.clone(),
            principal: session.principal.clone(),
            data: auth.properties.authentication_data.map(Into::into),
        });
        Ok(())
    }

    /// The exchange of a connection has answered.
    pub(crate) fn exchange_step(&mut self, now: Now, id: ConnectionId, epoch: u64, step: ExchangeStep) {
        let Some(connection) = self.connections.get(id).filter(|connection| connection.epoch == epoch) else { return };
        if connection.authentication.as_ref().is_none_or(|known| known.turn != Turn::Server) {
            return;
        }
        match step {
            ExchangeStep::Continue(data) => {
                self.send_auth(id, ReasonCode::ContinueAuthentication, Some(&data), Turn::Client);
            }
            ExchangeStep::Done { principal, data } => {
                let is_same = self
                    .sessions
                    .get(connection.session)
                    .is_some_and(|session| session.key.identity == principal.identity);
                if is_same {
                    self.send_auth(id, ReasonCode::Success, data.as_deref(), Turn::Nobody);
                } else {
                    self.protocol_error(now, id, ReasonCode::NotAuthorized, "authenticated again as somebody else");
                }
            }
            // [MQTT-4.12.1-2] Why is for the timeline alone.
            ExchangeStep::Refuse(refusal) => {
                self.end_unauthenticated(now, id, refusal.why);
            }
        }
    }

    fn end_unauthenticated(&mut self, now: Now, id: ConnectionId, why: Arc<str>) {
        self.send_disconnect(id, ReasonCode::NotAuthorized, "authentication failed");
        let cause = crate::engine::DisconnectCause::Protocol(ReasonCode::NotAuthorized, why);
        self.end_connection(now, id, cause, true);
    }

    fn send_auth(&mut self, id: ConnectionId, reason: ReasonCode, data: Option<&[u8]>, turn: Turn) {
        let Some((connection, pool)) = self.connections.with_pool(id) else { return };
        let Some(known) = &mut connection.authentication else { return };
        known.turn = turn;
        let method = Arc::clone(&known.method);
        connection.write(pool, &Auth::new(reason, &method, data).into());
        self.connections.name(id);
    }
}
