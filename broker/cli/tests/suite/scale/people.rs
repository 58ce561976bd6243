//! People who look at their devices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mooring_auth::{Secret, SecretKind};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Sizes, cpu_time, distribution, open_tls, runtime};
use crate::mqtt::tls_config;
use crate::server::Home;

#[test]
fn people_look_at_their_devices() {
    let sizes = Sizes::of_this_run();
    let home = Home::new();
    let server = sizes.start(&home);
    let tokens = make_people(&home, &sizes);
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let (cpu, began) = (cpu_time(server.pid()), Instant::now());
    let mut took = runtime().block_on(async {
        let mut readers = JoinSet::new();
        let connector = TlsConnector::from(Arc::new(tls_config(&root_pem, None)));
        for tokens in tokens.chunks(tokens.len().div_ceil(16)) {
            let sender = open_http(&connector, server.https).await;
            readers.spawn(read_devices(sender, tokens.to_vec(), sizes.reading));
        }
        readers.join_all().await.concat()
    });
    let (elapsed, cpu) = (began.elapsed(), cpu_time(server.pid()) - cpu);
    took.sort_unstable();
    let count = u32::try_from(took.len()).unwrap();
    println!(
        "{count} GET /v1/devices, {} users and {} devices: {:.0} a second, {:.0?} of the server's CPU each; {}",
        sizes.users,
        sizes.devices_of_users,
        f64::from(count) / elapsed.as_secs_f64(),
        cpu / count,
        distribution(&took)
    );
}

/// Asks for the devices of one after the other of these people, and checks that each sees all of theirs.
async fn read_devices(mut sender: SendRequest<Empty<Bytes>>, tokens: Vec<String>, lasting: Duration) -> Vec<Duration> {
    let end = Instant::now() + lasting;
    let mut took = Vec::new();
    for token in tokens.iter().cycle() {
        let began = Instant::now();
        if began > end {
            break;
        }
        let request = hyper::Request::get("/v1/devices")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new());
        sender.ready().await.unwrap();
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        took.push(began.elapsed());
        assert_eq!(status, 200, "{body:?}");
        let body = String::from_utf8_lossy(&body);
        assert_eq!(body.matches("\"model\":").count(), 10, "each has ten: {body}");
    }
    took
}

/// Puts people and their devices into the database, each with as many and a token of their own. The tokens come in no order, so that one request finds nothing
/// in the database's cache because the one before asked for its neighbour.
fn make_people(home: &Home, sizes: &Sizes) -> Vec<String> {
    let secrets: Vec<_> = (0..sizes.users).map(|_| Secret::generate(SecretKind::ApiToken).unwrap()).collect();
    let [users, each] = [sizes.users, sizes.devices_of_users / sizes.users].map(|count| i64::try_from(count).unwrap());
    runtime().block_on(async {
        use sqlx::Connection as _;
        let mut database = sqlx::SqliteConnection::connect(&home.sqlite_url()).await.unwrap();
        let mut tx = database.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let people = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO users (id, name, name_folded, created_at) SELECT randomblob(16), 'p' || i, 'p' || i, 0 FROM n";
        sqlx::query(people).bind(users).execute(&mut *tx).await.unwrap();
        let owned = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO devices (id, model, owner_id, created_at) SELECT randomblob(16), 'washer', users.id, 0 FROM n, users";
        sqlx::query(owned).bind(each).execute(&mut *tx).await.unwrap();
        let ids: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT id FROM users ORDER BY random()").fetch_all(&mut *tx).await.unwrap();
        for ((user,), secret) in ids.into_iter().zip(&secrets) {
            let token = "INSERT INTO tokens (id, hash, user_id, scopes, label, created_at) \
                 VALUES (randomblob(16), ?1, ?2, 'devices:read', 'scale', 0)";
            sqlx::query(token).bind(secret.hash().to_vec()).bind(user).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    });
    secrets.iter().map(|secret| secret.reveal().to_owned()).collect()
}

async fn open_http(connector: &TlsConnector, port: u16) -> SendRequest<Empty<Bytes>> {
    let stream = open_tls(connector, port).await;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}
