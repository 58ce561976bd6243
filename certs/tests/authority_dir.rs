//! The directory of an authority: opened again, half-made, tampered with.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Bench, DAY, NOW, UUID, assert_refused, options, year};
use mooring_certs::keystore::FileKeyStore;
use mooring_certs::{Authority, CaKey, CaOptions, CaRole, DeviceId, Error, KeyName, KeyStore, TrustDomain, Validity};
use tempfile::TempDir;
use time::Duration;

const ROLES: [CaRole; 4] = [CaRole::Root, CaRole::Devices, CaRole::Clients, CaRole::Servers];
const FILES: [&str; 9] = [
    "ca.toml",
    "clients.key",
    "clients.pem",
    "devices.key",
    "devices.pem",
    "root.key",
    "root.pem",
    "servers.key",
    "servers.pem",
];

#[test]
fn opened_again_it_is_the_same() {
    let bench = Bench::new();
    let (again, is_new) = Authority::open_or_create(&bench.path("ca"), &options()).expect("opened");
    assert!(!is_new);
    assert_eq!(again.bundle_pem(), bench.authority.bundle_pem());
    assert_eq!(again.organisation(), "Wash & Co");
    assert_eq!(again.trust_domain(), &TrustDomain::default());
    assert_eq!(ROLES.map(|role| again.key_id(role)), ROLES.map(|role| bench.authority.key_id(role)));
    let issued = again.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    bench.verify(&issued, "sslclient", NOW).expect("issued after it was opened again");
}

#[test]
fn it_is_made_where_there_is_none_and_only_there() {
    let dir = TempDir::new().expect("a temporary directory");
    let ca = dir.path().join("deep/ca");
    assert!(matches!(Authority::open(&ca), Err(Error::NotFound(_))));
    let (first, is_new) = Authority::open_or_create(&ca, &options()).expect("made");
    assert!(is_new);
    assert!(matches!(Authority::create(&ca, &options()), Err(Error::Exists(_))));
    assert_eq!(Authority::open(&ca).expect("opened").root_pem(), first.root_pem());
}

#[test]
fn its_directory_and_keys_are_for_their_owner_alone() {
    let bench = Bench::new();
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(bench.path("ca")), 0o700);
    for file in files_in(&bench) {
        let path = bench.path("ca").join(&file);
        assert!(!file.ends_with(".key") || mode(path) == 0o600, "{file} can be read by others");
    }
    assert_eq!(files_in(&bench), FILES);
}

#[test]
fn a_directory_that_lacks_any_file_is_refused_and_left_alone() {
    for lacking in FILES.into_iter().filter(|file| *file != "root.key") {
        let bench = Bench::new();
        fs::remove_file(bench.path("ca").join(lacking)).expect("remove a file");
        let before = files_in(&bench);
        assert_refused(Authority::open_or_create(&bench.path("ca"), &options()), &format!("missing {lacking})"));
        assert_refused(Authority::create(&bench.path("ca"), &options()), &format!("missing {lacking})"));
        assert_eq!(files_in(&bench), before);
    }
}

#[test]
fn a_creation_that_was_interrupted_is_refused_and_left_alone() {
    for keys_made in 1..ROLES.len() {
        let bench = Bench::new();
        let dir = bench.path("new");
        let keys = FailingStore { inner: FileKeyStore::new(dir.clone()), left: AtomicUsize::new(keys_made) };
        assert_refused(Authority::create_with(&dir, &keys, &options()), "the token is gone");
        let root_pem = fs::read(dir.join("root.pem")).expect("the root was written");
        let result = Authority::open_or_create(&dir, &options());
        assert!(matches!(result, Err(Error::HalfMade { .. })), "{keys_made} keys: {result:?}");
        assert_refused(result, "ca.toml");
        assert_eq!(fs::read(dir.join("root.pem")).expect("it is still there"), root_pem);
    }
}

/// Makes so many keys and then no more.
struct FailingStore {
    inner: FileKeyStore,
    left: AtomicUsize,
}

impl KeyStore for FailingStore {
    fn create(&self, name: KeyName) -> Result<CaKey, Error> {
        let left = self.left.load(Ordering::Relaxed);
        let left = left.checked_sub(1).ok_or_else(|| Error::Crypto("the token is gone".to_owned()))?;
        self.left.store(left, Ordering::Relaxed);
        self.inner.create(name)
    }

    fn open(&self, name: KeyName) -> Result<CaKey, Error> {
        self.inner.open(name)
    }

    fn holds(&self, name: KeyName) -> Result<bool, Error> {
        self.inner.holds(name)
    }
}

#[test]
fn a_temporary_file_of_an_interrupted_start_is_not_in_the_way() {
    let bench = Bench::new();
    fs::create_dir(bench.path("new")).expect("a directory");
    bench.write("new/root.tmp", "-----BEGIN PRIV");
    Authority::create(&bench.path("new"), &options()).expect("made");
}

#[test]
fn it_works_without_the_key_of_the_root() {
    let bench = Bench::new();
    fs::remove_file(bench.path("ca/root.key")).expect("take the key away");
    let authority = Authority::open(&bench.path("ca")).expect("opened");
    let issued = authority.issue_device(&bench.p256_request(), DeviceId::from(UUID), &year()).expect("issued");
    bench.verify(&issued, "sslclient", NOW).expect("issued without the root's key");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    fn check(spoil: impl FnOnce(&Bench), says: &str) {
        let bench = Bench::new();
        Authority::create(&bench.path("other"), &options()).expect("a second authority");
        spoil(&bench);
        assert_refused(Authority::open(&bench.path("ca")), says);
    }
    let from_other = |file: &'static str| {
        move |bench: &Bench| bench.write(&format!("ca/{file}"), bench.read(&format!("other/{file}")))
    };
    check(from_other("devices.key"), "devices.pem: this certificate is not for the private key of devices");
    check(from_other("devices.pem"), "devices.pem: this certificate is not signed by the root");
    check(from_other("root.pem"), "devices.pem: this certificate is not signed by the root");
    check(|bench| bench.write("ca/root.pem", "no"), "root.pem: there is no BEGIN line");
    check(|bench| bench.write("ca/clients.key", "no"), "clients.key: the private key is not PKCS#8 PEM");
    check(|bench| bench.write("ca/ca.toml", "format = 1\nsurprise = 2\n"), "unknown field `surprise`");
    check(
        |bench| bench.write("ca/ca.toml", "format = 2\ntrust_domain = \"mooring.local\"\norganisation = \"W\"\n"),
        "format 2 is not known",
    );
    check(
        |bench| bench.write("ca/ca.toml", "format = 1\ntrust_domain = \"mooring.other\"\norganisation = \"W\"\n"),
        "not of the trust domain mooring.other",
    );
    check(
        |bench| {
            let everybody = fs::Permissions::from_mode(0o644);
            fs::set_permissions(bench.path("ca/servers.key"), everybody).expect("change the mode");
        },
        "a private key with mode 0644 is open to every user",
    );
}

#[test]
fn the_owner_needs_a_name_that_fits() {
    fn check(organisation: &str, accepted: bool) {
        let dir = TempDir::new().expect("a temporary directory");
        let options = CaOptions { organisation: organisation.to_owned(), ..options() };
        let made = Authority::create(&dir.path().join("ca"), &options);
        assert_eq!(made.is_ok(), accepted, "{organisation:?}: {made:?}");
        assert_eq!(dir.path().join("ca/root.key").exists(), accepted);
    }
    check("W", true);
    check("Wäscherei Müller", true);
    check(&"w".repeat(40), true);
    check(&"w".repeat(41), false);
    check(" ", false);
    check("a\nb", false);
}

#[test]
fn a_leaf_never_outlives_its_issuer_and_is_not_issued_outside_its_time() {
    let bench = Bench::new();
    let (_, end) = bench.authority.validity(CaRole::Devices);
    let request = bench.p256_request();
    let issue =
        |now, lifetime| bench.authority.issue_device(&request, DeviceId::from(UUID), &Validity::new(now, lifetime));
    assert_eq!(issue(end - DAY, DAY * 365).expect("issued").not_after, end);
    assert_refused(issue(end + DAY, DAY), "the devices intermediate is not valid at this time");
    assert_refused(issue(NOW - DAY, DAY), "the devices intermediate is not valid at this time");
    assert_refused(issue(NOW, Duration::ZERO), "cannot be valid for 0 seconds");
    assert_refused(issue(NOW, -DAY), "cannot be valid for -86400 seconds");
    assert_refused(issue(NOW, Duration::MAX), "cannot be valid for");
}

#[test]
fn an_authority_is_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Authority>();
}

fn files_in(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.path("ca")).expect("the directory");
    let mut files: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    files.sort();
    files
}
