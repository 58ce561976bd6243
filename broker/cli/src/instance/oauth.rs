//! The OAuth provider: made from the configuration, and put beside the API.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use mooring_api::PeerAddress;
use mooring_auth::token::Finding;
use mooring_auth::{AuthError, FoundToken, LiveTokens, TokenSource, sign_in_credential};
use mooring_certs::KeySecret;
use mooring_core::SessionSelector;
use mooring_oauth::{AccessToken, ClientAddress, Provider, ProviderConfig, Renewal, TokenError};
use mooring_protocol::ReasonCode;
use mooring_server::Node;
use mooring_store::Store;
use time::{Duration, OffsetDateTime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::upkeep::stopped;
use crate::config::Config;
use crate::data_dir::DataDir;

/// The provider of this instance.
pub(super) fn open_provider(
    config: &Config,
    data_dir: &DataDir,
    issuer: &str,
    store: &Store,
) -> anyhow::Result<Provider> {
    let secret = config.certificates.key_file.as_deref().map(KeySecret::read).transpose();
    let provider = ProviderConfig {
        issuer: issuer.to_owned(),
        keys_dir: data_dir.path().join("oauth"),
        key_secret: secret.context("certificates.key_file")?,
        key_lifetime: Duration::days(i64::from(config.oauth.signing_key_days)),
        access_token_lifetime: Duration::minutes(i64::from(config.oauth.access_token_minutes)),
        refresh_token_lifetime: Duration::days(i64::from(config.oauth.refresh_token_days)),
    };
    Ok(Provider::open(provider, store.clone())?)
}

/// The address by which it is reached: what the configuration says, or the first name of the server's certificate with the port that the listener has.
pub(super) fn issuer(config: &Config, http: SocketAddr) -> String {
    if let Some(issuer) = &config.oauth.issuer {
        return issuer.clone();
    }
    let name = config.server.names.first().map_or("localhost", String::as_str);
    let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    match http.port() {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

/// Tells the provider's endpoints where a request comes from.
pub(super) fn with_address(mut request: axum::extract::Request) -> axum::extract::Request {
    if let Some(PeerAddress(address)) = request.extensions().get::<PeerAddress>().copied() {
        request.extensions_mut().insert(ClientAddress(address.ip()));
    }
    request
}

/// Access tokens as MQTT passwords.
pub(super) struct AccessTokens(pub(super) Provider);

impl TokenSource for AccessTokens {
    fn find<'a>(&'a self, presented: &'a str) -> Finding<'a> {
        let found = match self.0.access_token(presented) {
            // A password is no proof of a key: a token that is bound to one would be worth as much to its thief.
            Ok(AccessToken { jkt: Some(_), .. }) => Ok(None),
            Ok(token) => Ok(Some(found_token(token))),
            Err(TokenError::Unknown) => Err(AuthError::TokensAway(TokenError::Unknown.to_string())),
            Err(_) => Ok(None),
        };
        Box::pin(ready(found))
    }
}

fn found_token(token: AccessToken) -> FoundToken {
    FoundToken {
        credential: sign_in_credential(token.family),
        user: token.user,
        scopes: token.scopes,
        expires_unix_ms: Some(unix_ms(token.expires_at)),
    }
}

/// Ends the connections of a sign-in when it ends, and lets them last when its token is renewed, until `stop` turns true.
pub(super) async fn watch(provider: Provider, live: Arc<LiveTokens>, node: Node, mut stop: watch::Receiver<bool>) {
    let (mut ended, mut renewals) = (provider.ended_families(), provider.renewals());
    loop {
        tokio::select! {
            family = ended.recv() => match family {
                Ok(family) => {
                    let selector = SessionSelector::CertificateSerial(sign_in_credential(family));
                    let why = "the sign-in has ended";
                    node.disconnect(selector, ReasonCode::NotAuthorized, why, false).await;
                }
                // More ends at once than are held for a listener: the tokens end by themselves within minutes.
                Err(RecvError::Lagged(missed)) => tracing::error!(missed, "ends of sign-ins were missed"),
                Err(RecvError::Closed) => return,
            },
            renewal = renewals.recv() => {
                // One that was missed ends a connection early: the client comes again.
                if let Ok(renewal) = renewal {
                    live.note(&renewed(renewal));
                }
            }
            () = stopped(&mut stop) => return,
        }
    }
}

fn renewed(renewal: Renewal) -> FoundToken {
    FoundToken {
        credential: sign_in_credential(renewal.family),
        user: None,
        scopes: Vec::new(),
        expires_unix_ms: Some(unix_ms(renewal.expires_at)),
    }
}

fn unix_ms(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
