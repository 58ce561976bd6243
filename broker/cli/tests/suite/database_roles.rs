//! docs/database.md, run as it stands there; and a server that has no rights but those of its roles.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::mqtt::Client;
use crate::postgres::Postgres;
use crate::server::{Home, text};
use crate::tutorial::{bash, commands};

#[test]
fn the_commands_of_the_page_work_as_they_stand_and_the_server_runs_by_the_roles_alone() {
    let owner = Postgres::shared().new_database();
    let by = |role: &str| owner.replacen("postgres@", &format!("mooring_{role}@"), 1);
    let urls = [("url", "serve"), ("ingest_url", "ingest"), ("read_url", "read")];
    let urls: String = urls.iter().map(|(key, role)| format!("{key} = \"{}\"\n", by(role))).collect();
    let home = Home::with(&format!("[database]\n{urls}"));
    std::fs::write(home.path().join("owner.toml"), format!("[database]\nurl = \"{owner}\"\n")).unwrap();
    std::fs::write(home.path().join("server.toml"), format!("[database]\n{urls}")).unwrap();
    let blocks = commands(include_str!("../../../../docs/database.md"));
    let [make_roles, verify] = blocks.as_slice() else { panic!("two blocks of commands: {blocks:?}") };
    let output = bash(&home, 0, make_roles);
    assert!(output.status.success() && text(&output).contains("mooring_ingest"), "{}", text(&output));

    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let mut client = Client::connect_tls(server.mqtts, &device.id, &root_pem, &credentials).unwrap();
    let topic = format!("devices/{}/telemetry", device.id);
    assert!(!client.publish_and_wait(&topic, b"{}").unwrap().is_error());
    let output = bash(&home, server.admin, verify);
    assert!(output.status.success() && text(&output).contains("each fits"), "{}", text(&output));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        wait_for_event(&owner).await;
        assert_eq!(who_is_connected(&owner).await, ["mooring_ingest", "mooring_serve"]);
        check_denied(
            &by("serve"),
            &["UPDATE audit SET actor = 'x'", "DELETE FROM events", "CREATE TABLE mine (i int)"],
        )
        .await;
        let of_others = ["SELECT * FROM tokens", "SELECT * FROM audit", "SELECT * FROM certificates"];
        check_denied(&by("ingest"), &of_others).await;
        let secrets = ["SELECT * FROM enrolment_secrets", "SELECT * FROM users", "DELETE FROM devices"];
        check_denied(&by("read"), &secrets).await;
    });
}

async fn wait_for_event(owner: &str) {
    let mut connection = PgConnection::connect(owner).await.unwrap();
    let began = Instant::now();
    while sqlx::query("SELECT 1 FROM events WHERE kind = 1").fetch_optional(&mut connection).await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "the event does not reach the database");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The roles of the server's connections: this one's has another name.
async fn who_is_connected(owner: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(owner).await.unwrap();
    let sql = "SELECT DISTINCT usename::text FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'mooring' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
}

/// Expects statements to be refused to a role for want of rights.
async fn check_denied(url: &str, statements: &[&'static str]) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    for sql in statements {
        let error = sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{url}: {sql}: {error}");
    }
}

#[test]
fn attack_a_server_that_migrates_by_a_role_that_only_serves() {
    let owner = Postgres::shared().new_database();
    let home = Home::with(&format!("[database]\nurl = \"{owner}\"\n"));
    home.run(&["db", "roles", "--prefix", "lone"]);
    let serve = owner.replacen("postgres@", "lone_serve@", 1);
    // A schema of another version, as after an upgrade that the owner has not made yet.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&owner).await.unwrap();
        let sql = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
    let server = Home::with(&format!("[database]\nurl = \"{serve}\"\nmigrate_url = \"{owner}\"\n"));
    let output = server.command(&["run"]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("mooring db migrate"), "{}", text(&output));
}
