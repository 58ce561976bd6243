//! A server, and the way to it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::server::{Home, Server};

/// How a client gets to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The plain listener, as anybody.
    Tcp,
    /// Mutual TLS, as a device.
    Tls,
    /// The plain WebSocket listener, as anybody.
    Ws,
    /// `/mqtt` of the HTTPS listener, as a device with its certificate.
    Wss,
}

pub(crate) struct Place {
    home: Home,
    server: Server,
    transport: Transport,
    /// The topics that a client may use here are below this.
    pub(crate) root: String,
}

/// What a device connects with.
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Place {
    pub(crate) fn new(transport: Transport) -> Self {
        let home = Home::new();
        let server = home.start();
        let root = match transport {
            Transport::Tcp | Transport::Ws => "interop".to_owned(),
            Transport::Tls | Transport::Wss => {
                let device = home.make_device();
                home.enrol(&server, &device, "device");
                format!("devices/{}", device.id)
            }
        };
        Self { home, server, transport, root }
    }

    pub(crate) fn port(&self) -> u16 {
        match self.transport {
            Transport::Tcp => self.server.plain.unwrap(),
            Transport::Tls => self.server.mqtts,
            Transport::Ws => self.server.ws.unwrap(),
            Transport::Wss => self.server.https,
        }
    }

    pub(crate) fn files(&self) -> Option<Files> {
        let file = |name| self.home.path().join(name);
        matches!(self.transport, Transport::Tls | Transport::Wss).then(|| Files {
            ca: self.home.root_certificate(),
            certificate: file("device.pem"),
            key: file("device.key"),
        })
    }

    /// The same for a script.
    pub(crate) fn files_json(&self) -> Value {
        self.files()
            .map_or(Value::Null, |files| json!({ "ca": files.ca, "certificate": files.certificate, "key": files.key }))
    }
}
