//! What the tests share: a fresh database of either kind for each test, and things to put into it.

pub(crate) mod postgres;

use std::sync::atomic::{AtomicU8, Ordering};

use mooring_store::{
    CertificateHolder, EventKind, IngestBatch, NewCertificate, NewDevice, NewEvent, NewUser, Store, StoreOptions,
};
use sqlx::Connection;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use postgres::Postgres;

/// Runs each of these functions, which take a [`Database`], on both databases, as a test of its own.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$name($crate::common::Database::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() {
                super::$name($crate::common::Database::postgres().await).await;
            }
        }
    )*};
}

/// The time at which the tests play.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

/// An empty database of the newest schema.
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("mooring.db").display());
        Self { store: connect(&url).await, url, _dir: Some(dir) }
    }

    pub(crate) async fn postgres() -> Self {
        let url = tokio::task::spawn_blocking(|| Postgres::shared().new_database()).await.unwrap();
        Self { store: connect(&url).await, url, _dir: None }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    /// Runs SQL beside the store, as someone with a database shell would.
    pub(crate) async fn run_sql(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        if self.is_postgres() {
            let mut connection = sqlx::PgConnection::connect(&self.url).await?;
            sqlx::raw_sql(sql).execute(&mut connection).await?;
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await?;
            sqlx::raw_sql(sql).execute(&mut connection).await?;
        }
        Ok(())
    }

    /// Makes a device, and gives its id.
    pub(crate) async fn device(&self) -> Uuid {
        let device = new_device();
        self.store.create_devices(std::slice::from_ref(&device), NOW).await.unwrap();
        device.id
    }

    /// Makes a user, and gives the id.
    pub(crate) async fn user(&self) -> Uuid {
        let id = Uuid::now_v7();
        let user = NewUser { id, name: format!("user-{id}"), email: None };
        self.store.create_user(&user, NOW).await.unwrap();
        id
    }
}

pub(crate) async fn connect(url: &str) -> Store {
    Store::connect(url, &StoreOptions::default()).await.unwrap()
}

/// A device whose secret and code are unlike those of any other.
pub(crate) fn new_device() -> NewDevice {
    let id = Uuid::now_v7();
    NewDevice {
        id,
        model: "washer".to_owned(),
        batch: None,
        enrolment_secret_hash: hash_of(id, b's'),
        enrolment_expires_at: NOW + Duration::days(30),
        claim_code_hash: hash_of(id, b'c'),
    }
}

/// A certificate of this device, with a serial unlike that of any other.
pub(crate) fn new_certificate(device: Uuid) -> NewCertificate {
    NewCertificate {
        serial: Uuid::new_v4().simple().to_string(),
        holder: CertificateHolder::Device(device),
        issuer: "devices-1".to_owned(),
        not_before: NOW,
        not_after: NOW + Duration::days(365),
        fingerprint: hash_of(device, b'f'),
        der: vec![0x30, 0x82, 0x00],
    }
}

/// Something that is as good as a hash.
pub(crate) fn hash_of(id: Uuid, salt: u8) -> [u8; 32] {
    let mut hash = [salt; 32];
    hash[..16].copy_from_slice(id.as_bytes());
    hash
}

/// A hash unlike any other.
pub(crate) fn fresh_hash() -> [u8; 32] {
    static SALT: AtomicU8 = AtomicU8::new(0);
    hash_of(Uuid::now_v7(), SALT.fetch_add(1, Ordering::Relaxed))
}

/// A telemetry event of this device.
pub(crate) fn new_event(position: u64, device: Uuid) -> NewEvent {
    NewEvent {
        position,
        device,
        kind: EventKind::Telemetry,
        name: None,
        request: None,
        at: NOW + Duration::milliseconds(i64::try_from(position).unwrap()),
        qos: 1,
        client: "washer-1".to_owned(),
        content_type: None,
        payload: format!("{{\"position\":{position}}}").into(),
    }
}

/// A batch of these events, which stand one behind the other from the first one's position.
pub(crate) fn batch_of(events: Vec<NewEvent>) -> IngestBatch {
    let (from_position, to_position) = (events[0].position, events[events.len() - 1].position + 1);
    IngestBatch { source: "node-1".to_owned(), from_position, to_position, events, presence: vec![] }
}
