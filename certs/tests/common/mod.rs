//! A directory with an authority in it, and the `openssl` program.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mooring_certs::{Authority, CaOptions, CsrError, DeviceId, Issued, SigningRequest, TrustDomain, Validity};
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::{Uuid, uuid};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
pub(crate) const DAY: Duration = Duration::DAY;
pub(crate) const UUID: Uuid = uuid!("01890a5d-ac96-774b-bcce-b302099a8057");
pub(crate) const OTHER_UUID: Uuid = uuid!("01890a5d-ac96-774b-bcce-b302099a8058");

pub(crate) fn year() -> Validity {
    Validity::new(NOW, Validity::DEVICE)
}

pub(crate) fn options() -> CaOptions {
    CaOptions { trust_domain: TrustDomain::default(), organisation: "Wash & Co".to_owned(), now: NOW }
}

/// A directory with an authority in `ca`, for the files that go to and come from `openssl`.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) authority: Authority,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let authority = Authority::create(&dir.path().join("ca"), &options()).expect("a new authority");
        Self { dir, authority }
    }

    /// An authority of this moment, for those checks of `openssl` that know no other.
    pub(crate) fn new_now() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let options = CaOptions { now: OffsetDateTime::now_utc(), ..options() };
        let authority = Authority::create(&dir.path().join("ca"), &options).expect("a new authority");
        Self { dir, authority }
    }

    /// A device's certificate of this moment.
    pub(crate) fn issue_now(&self) -> Issued {
        let validity = Validity::new(OffsetDateTime::now_utc(), Validity::DEVICE);
        self.authority.issue_device(&self.p256_request(), DeviceId::from(UUID), &validity).expect("issued")
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(file), content).expect("write a file of the test");
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).expect("read a file of the test")
    }

    /// Runs `openssl` in the directory, with arguments separated by spaces; its output, as a failure when it fails.
    pub(crate) fn openssl(&self, arguments: &str) -> Result<String, String> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("openssl is installed");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(text.into_owned()) } else { Err(text.into_owned()) }
    }

    /// Runs `openssl`, which must succeed.
    pub(crate) fn run(&self, arguments: &str) -> String {
        self.openssl(arguments).unwrap_or_else(|text| panic!("openssl {arguments}: {text}"))
    }

    /// A request that `openssl req` makes: a key by `genpkey` with these arguments, and these for `req`.
    pub(crate) fn request(&self, key: &str, req: &str) -> Result<SigningRequest, CsrError> {
        self.run(&format!("genpkey -out key.pem {key}"));
        self.run(&format!("req -new -key key.pem -out csr.pem -subj /CN=mallory {req}"));
        SigningRequest::parse(&self.read("csr.pem"))
    }

    pub(crate) fn p256_request(&self) -> SigningRequest {
        self.request("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "").expect("a good request")
    }

    /// `openssl verify` against the root, with the chain that was issued, at a time.
    pub(crate) fn verify(&self, issued: &Issued, purpose: &str, at: OffsetDateTime) -> Result<String, String> {
        self.write("root.pem", self.authority.root_pem());
        self.write("chain.pem", &issued.chain_pem);
        let at = at.unix_timestamp();
        // `chain.pem` is both: the first certificate of it is verified, the rest help.
        self.openssl(&format!(
            "verify -x509_strict -CAfile root.pem -untrusted chain.pem -purpose {purpose} -attime {at} chain.pem"
        ))
    }
}

/// That a result is an error whose text has this in it.
pub(crate) fn assert_refused<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>, says: &str) {
    match result {
        Ok(value) => panic!("accepted: {value:?}; expected an error with {says:?}"),
        Err(error) => assert!(error.to_string().contains(says), "expected {says:?} in: {error}"),
    }
}
