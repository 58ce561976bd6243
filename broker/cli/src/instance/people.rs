//! What people do with devices: made from the configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mooring_accounts::{EmailAddress, Mail, MailError, Mailer};
use mooring_api::{Claims, CommandDesk, HttpRules, Letter, PostBox, Sharing, StreamDesk};
use mooring_auth::Rights;
use mooring_server::Node;
use mooring_store::{ClaimPolicy, Store};
use tokio::sync::mpsc;

use crate::config::Config;

/// Brings changes of owners and grants into force on this node, whose log the database knows by `source`.
pub(super) fn sharing(store: &Store, node: &Node, rights: &Arc<Rights>, source: &str) -> Sharing {
    Sharing {
        store: store.clone(),
        node: node.clone(),
        rights: Arc::clone(rights),
        commands: CommandDesk::open(node),
        streams: StreamDesk::open(node, source),
    }
}

/// How devices are claimed; they connect to what the configuration says, or to the first MQTT listener by the first name of the server.
pub(super) fn claims(config: &Config, mqtt: &[(String, SocketAddr)]) -> Claims {
    let positive = |number: u32| (number > 0).then_some(i64::from(number));
    let policy = ClaimPolicy {
        power_on_window: positive(config.claims.power_on_minutes).map(time::Duration::minutes),
        code_lifetime: positive(config.claims.code_days).map(time::Duration::days),
        code_works_again: config.claims.code_works_again,
    };
    let endpoint = config.claims.endpoint.clone().unwrap_or_else(|| {
        let name = config.server.names.first().map_or("localhost", String::as_str);
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let port = mqtt.first().map_or(8883, |(_, address)| address.port());
        format!("mqtts://{host}:{port}")
    });
    Claims { policy, endpoint, device_passwords: config.claims.device_password }
}

/// What a request may be.
pub(super) fn http_rules(config: &Config) -> HttpRules {
    HttpRules {
        body_bytes_max: config.http.body_bytes_max,
        body_timeout: Duration::from_millis(config.http.body_timeout_ms),
        answer_timeout: ANSWER_TIMEOUT,
        json_depth_max: config.http.json_depth_max,
        cors_origins: config.http.cors_origins.clone(),
    }
}

/// A command waits for its device for a minute at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);
/// Mails that wait; beyond it they are lost, and counted.
const MAILS_MAX: usize = 1_000;
const TRIES: u32 = 5;

/// Takes mails, and has them delivered one after the other.
pub(super) fn post_box(mailer: Arc<dyn Mailer>) -> PostBox {
    let (post, mut waiting) = mpsc::channel::<Letter>(MAILS_MAX);
    tokio::spawn(async move {
        while let Some(letter) = waiting.recv().await {
            deliver(&*mailer, letter).await;
        }
    });
    Arc::new(move |letter| {
        if post.try_send(letter).is_err() {
            tracing::error!("too many mails wait: one is lost");
        }
    })
}

async fn deliver(mailer: &dyn Mailer, letter: Letter) {
    let Letter { to, subject, text } = letter;
    let Ok(to) = EmailAddress::parse(&to) else { return tracing::warn!("a mail has no usable address") };
    let mail = Mail { to, subject, text };
    for attempt in 0..TRIES {
        match mailer.deliver(&mail).await {
            Ok(()) => return,
            Err(MailError::Passing(why)) => tracing::warn!(why, "a mail is not delivered yet"),
            Err(MailError::Refused(why)) => return tracing::error!(why, "a mail is not delivered"),
        }
        tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
    }
    tracing::error!("a mail is given up");
}
