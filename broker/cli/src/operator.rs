//! How an operator's command reaches the operators' API: over the socket of the server that runs on the data directory, over HTTPS to a server
//! elsewhere, or, where no server runs, by the same handlers in this process, on the database. One way to change things: the same checks, the same
//! entries in the audit log, and live connections feel it at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use axum::body::Body;
use hyper::{Method, Request, Uri};
use mooring_api::{OperatorContext, operator_router};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use crate::args::OperatorArgs;
use crate::commands::{load_config, open_store};
use crate::config::Config;
use crate::data_dir::{DataDir, operator_socket};
use crate::https::{Answer, HttpClient};

/// The variable with an operator's token for `--server`: no setting of the server.
pub(crate) const TOKEN_VARIABLE: &str = "MOORING_TOKEN";

/// The operators' API, wherever it is.
pub(crate) struct OperatorApi {
    way: Way,
}

enum Way {
    Server(HttpClient),
    Here { router: Router, _keeps_servers_out: Option<DataDir> },
}

impl OperatorApi {
    /// Finds it: the server that is named, else the one that runs on the data directory, else the database.
    pub(crate) async fn open(args: &OperatorArgs) -> anyhow::Result<Self> {
        if let Some(server) = &args.server {
            return Ok(Self { way: Way::Server(elsewhere(server, args)?) });
        }
        let config = load_config(&args.local)?;
        // Postgres can be worked on from where no server has ever run.
        if config.database_url.is_some() && !config.data_dir.exists() {
            return Self::here(args, None).await;
        }
        if !config.data_dir.join("mooring.db").exists() && config.database_url.is_none() {
            // Says what to do about it.
            open_store(&args.local).await?;
        }
        match server_or_lock(&config).await? {
            Ok(client) => Ok(Self { way: Way::Server(client) }),
            Err(lock) => Self::here(args, Some(lock)).await,
        }
    }

    async fn here(args: &OperatorArgs, keeps_servers_out: Option<DataDir>) -> anyhow::Result<Self> {
        let (config, store) = open_store(&args.local).await?;
        let enrolment_secret = time::Duration::days(i64::from(config.certificates.enrolment_days));
        let router = operator_router(OperatorContext::without_server(store, enrolment_secret));
        Ok(Self { way: Way::Here { router, _keeps_servers_out: keeps_servers_out } })
    }

    /// Whether a server hears of what is changed, at once.
    pub(crate) const fn is_server(&self) -> bool {
        matches!(self.way, Way::Server(_))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Each item of a list, page by page. `path` has a query, which may be empty: `/v1/operator/users?`.
    pub(crate) async fn each(&self, path: &str, mut tell: impl FnMut(&Value)) -> anyhow::Result<()> {
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}&limit={PAGE}{cursor}")).await?;
            page.get("items").and_then(Value::as_array).into_iter().flatten().for_each(&mut tell);
            match page.get("next").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => return Ok(()),
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        match &self.way {
            Way::Server(client) => client.request(method, path, body).await?.expect_success(),
            Way::Here { router, .. } => {
                let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
                let request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                Answer::read(response.status().as_u16(), response.into_body()).await?.expect_success()
            }
        }
    }
}

/// Items on a page: as many as the API gives.
const PAGE: u32 = 1000;
/// How long a server may take to start or to end, meanwhile it neither answers nor leaves the directory.
const SERVER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The server that runs on the data directory; else the lock that keeps one from starting until the command is done, since it would not hear of it.
async fn server_or_lock(config: &Config) -> anyhow::Result<Result<HttpClient, DataDir>> {
    let socket = operator_socket(&config.data_dir);
    let began = Instant::now();
    loop {
        if let Some(lock) = DataDir::share_if_free(&config.data_dir)? {
            return Ok(Err(lock));
        }
        let error = match UnixStream::connect(&socket).await {
            Ok(_) => return Ok(Ok(HttpClient::unix(&socket))),
            Err(error) => error,
        };
        if began.elapsed() > SERVER_WITHIN || error.kind() == std::io::ErrorKind::PermissionDenied {
            return Err(error).with_context(|| {
                format!("a server runs on {}, and does not answer on admin.sock", config.data_dir.display())
            });
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// A server that is reached over HTTPS, with an operator's token.
fn elsewhere(server: &str, args: &OperatorArgs) -> anyhow::Result<HttpClient> {
    let (address, name) = parse_server(server)?;
    let token = match (&args.token_file, std::env::var(TOKEN_VARIABLE)) {
        (Some(file), _) => read(file)?,
        (None, Ok(token)) => token,
        (None, Err(_)) => bail!("--server needs an operator's token: --token-file FILE, or {TOKEN_VARIABLE}"),
    };
    let roots = match &args.server_ca {
        Some(file) => file.clone(),
        None => load_config(&args.local)?.data_dir.join("ca.pem"),
    };
    let pem =
        read(&roots).context("--server-ca names the root certificate that the server's certificate comes from")?;
    HttpClient::with_token(&address, &name, &pem, token.trim()).with_context(|| format!("{}", roots.display()))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))
}

/// Where to connect, and the name that has to be in the certificate. A token never goes over plain HTTP.
fn parse_server(server: &str) -> anyhow::Result<(String, String)> {
    let uri: Uri = server.parse().with_context(|| format!("--server {server:?}"))?;
    ensure!(uri.scheme_str() == Some("https"), "--server {server:?}: expected https://<name>[:<port>]");
    ensure!(matches!(uri.path(), "" | "/") && uri.query().is_none(), "--server {server:?}: a server has no path");
    let host = uri.host().filter(|host| !host.is_empty()).with_context(|| format!("--server {server:?}: no name"))?;
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((format!("{host}:{}", uri.port_u16().unwrap_or(443)), name))
}

/// A path segment, or a value of a query (RFC 3986, 2.1), whatever is in it.
pub(crate) fn encoded(segment: &str) -> String {
    let mut encoded = String::new();
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// A field of an answer, for people: `-` where there is none.
pub(crate) fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// Whether a field of an answer is there, or true.
pub(crate) fn has(value: &Value, key: &str) -> bool {
    !matches!(value.get(key), None | Some(Value::Null | Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_https_address_alone() {
        let check = |server: &str, expected: Option<(&str, &str)>| {
            let parsed = parse_server(server).ok();
            let expected = expected.map(|(address, name)| (address.to_owned(), name.to_owned()));
            assert_eq!(parsed, expected, "{server:?}");
        };
        check("https://mooring.example", Some(("mooring.example:443", "mooring.example")));
        check("https://mooring.example:8443/", Some(("mooring.example:8443", "mooring.example")));
        check("https://[::1]:8443", Some(("[::1]:8443", "::1")));
        check("http://mooring.example", None);
        check("mooring.example:8443", None);
        check("https://mooring.example/api", None);
    }

    #[test]
    fn attack_what_is_typed_stays_one_segment_of_the_path() {
        assert_eq!(encoded("a/../b?c=d&e#f \u{e9}"), "a%2F..%2Fb%3Fc%3Dd%26e%23f%20%C3%A9");
    }
}
