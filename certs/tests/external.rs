//! An authority below a company's root, which `openssl` plays.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mooring_certs::rotate::{AuthorityFiles, Rotation};
use mooring_certs::{
    Authority, CaOptions, CaRole, DeviceId, Error, FileKeyStore, LeafIdentity, PrivateKey, SigningRequest, TrustDomain,
    Validity,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

/// What an intermediate of ours has to have.
const GOOD: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

struct Company {
    dir: TempDir,
}

impl Company {
    /// A root with an RSA key, an issuing authority below it, and our requests.
    fn new() -> Self {
        let company = Self { dir: TempDir::new().expect("a temporary directory") };
        company.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out root.key");
        company.openssl("req -x509 -new -key root.key -subj /O=Company/CN=Root -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign -out root.pem");
        company.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sub.key");
        company.openssl("req -new -key sub.key -subj /O=Company/CN=Issuing -out sub.csr");
        company.sign("sub.csr", "root", "sub.pem", &GOOD.replace("pathlen:0", "pathlen:1"));
        let requests = company.files().init_external(&company.options()).expect("requests");
        assert_eq!(requests.len(), 3);
        company
    }

    fn options(&self) -> CaOptions {
        CaOptions {
            trust_domain: TrustDomain::default(),
            organisation: "Wash & Co".to_owned(),
            now: OffsetDateTime::now_utc(),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca")
    }

    fn files(&self) -> AuthorityFiles {
        AuthorityFiles::new(&self.ca(), FileKeyStore::new(self.ca()))
    }

    fn openssl(&self, arguments: &str) -> String {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {said}");
        said
    }

    fn sign(&self, request: &str, issuer: &str, out: &str, extensions: &str) {
        fs::write(self.path("ext"), extensions).unwrap();
        self.openssl(&format!(
            "x509 -req -in {request} -CA {issuer}.pem -CAkey {issuer}.key -set_serial {} -days 365 -sha256 -extfile ext -out {out}",
            Uuid::new_v4().as_u128() >> 8
        ));
    }

    /// The chain of a role: its certificate by the issuing authority, and what is above it.
    fn chain(&self, role: CaRole, extensions: &str) -> String {
        self.sign(&format!("ca/{role}.csr"), "sub", &format!("{role}.pem"), extensions);
        ["root.pem", &format!("{role}.pem"), "sub.pem"]
            .map(|file| fs::read_to_string(self.path(file)).unwrap())
            .concat()
    }

    fn import(&self, chain: &str) -> Result<mooring_certs::external::ImportedChain, Error> {
        self.files().import_chain(chain, OffsetDateTime::now_utc())
    }
}

fn issue(authority: &Authority) -> mooring_certs::Issued {
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::parse(key.request_pem().unwrap().as_bytes()).unwrap();
    let validity = Validity::new(OffsetDateTime::now_utc(), Validity::DEVICE);
    authority.issue_device(&request, DeviceId::from(Uuid::now_v7()), &validity).expect("issued")
}

#[test]
fn once_the_last_chain_is_there_it_issues_below_the_companys_root() {
    let company = Company::new();
    assert!(matches!(Authority::open(&company.ca()), Err(Error::AwaitsChains(_))));
    for (role, missing) in [(CaRole::Devices, 2), (CaRole::Clients, 1), (CaRole::Servers, 0)] {
        let imported = company.import(&company.chain(role, GOOD)).expect("a good chain");
        assert_eq!((imported.name.as_str(), imported.missing.len()), (role.name(), missing));
    }
    let authority = Authority::open(&company.ca()).expect("whole");
    let issued = issue(&authority);
    assert_eq!(LeafIdentity::read(&issued.der).unwrap().issuer_id, authority.key_id(CaRole::Devices));
    assert_eq!(issued.chain_der().len(), 3, "the leaf, our intermediate, the company's");
    fs::write(company.path("leaf.pem"), &issued.chain_pem).unwrap();
    let said = company.openssl("verify -purpose sslclient -CAfile root.pem -untrusted leaf.pem leaf.pem");
    assert!(said.contains("OK"), "{said}");
    assert_eq!(authority.certificates().len(), 5);
}

#[test]
fn a_rotation_asks_the_company_again_and_both_are_trusted() {
    let company = Company::new();
    for role in CaRole::INTERMEDIATES {
        company.import(&company.chain(role, GOOD)).expect("a good chain");
    }
    let first = Authority::open(&company.ca()).unwrap().key_id(CaRole::Devices);
    let rotation = company.files().rotate(CaRole::Devices, OffsetDateTime::now_utc()).expect("a request");
    assert_eq!(rotation, Rotation::Request(company.ca().join("devices-2.csr")));
    assert_eq!(Authority::open(&company.ca()).unwrap().key_id(CaRole::Devices), first, "nothing has changed yet");
    company.sign("ca/devices-2.csr", "sub", "second.pem", GOOD);
    let chain = ["second.pem", "sub.pem"].map(|file| fs::read_to_string(company.path(file)).unwrap()).concat();
    assert_eq!(company.import(&chain).expect("the root is known").name, "devices-2");
    let authority = Authority::open(&company.ca()).unwrap();
    assert_ne!(authority.key_id(CaRole::Devices), first);
    assert_eq!(authority.certificates_of(CaRole::Devices).len(), 2);
}

/// Expects a chain to be refused with these words, and nothing to have changed.
fn check_refused(chain: impl Fn(&Company) -> String, says: &str) {
    let company = Company::new();
    let chain = chain(&company);
    let error = company.import(&chain).map(drop).expect_err("refused").to_string();
    assert!(error.contains(says), "{error} does not say {says}");
    assert!(!company.ca().join("devices.pem").exists() && !company.ca().join("root.pem").exists());
}

#[test]
fn attack_chain_that_is_no_authoritys_or_cannot_sign() {
    check_refused(|company| company.chain(CaRole::Devices, &GOOD.replace("CA:TRUE,pathlen:0", "CA:FALSE")), "CA:TRUE");
    check_refused(|company| company.chain(CaRole::Devices, &GOOD.replace("keyCertSign,", "")), "keyCertSign");
    check_refused(|company| company.chain(CaRole::Devices, &GOOD.replace(",cRLSign", "")), "cRLSign");
    check_refused(
        |company| company.chain(CaRole::Devices, &format!("{GOOD}extendedKeyUsage=serverAuth\n")),
        "extended key usage",
    );
}

#[test]
fn attack_chain_for_another_key() {
    check_refused(
        |company| {
            company.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key");
            company.openssl("req -new -key other.key -subj /CN=other -out ca/other.csr");
            company.sign("ca/other.csr", "sub", "other.pem", GOOD);
            ["other.pem", "sub.pem", "root.pem"].map(|file| fs::read_to_string(company.path(file)).unwrap()).concat()
        },
        "for a key that waits",
    );
}

#[test]
fn attack_chain_that_does_not_lead_to_a_root() {
    check_refused(
        |company| {
            company.chain(CaRole::Devices, GOOD);
            fs::read_to_string(company.path("devices.pem")).unwrap()
        },
        "nobody in it signed",
    );
}

#[test]
fn attack_chain_whose_path_is_longer_than_an_authority_above_allows() {
    check_refused(
        |company| {
            company.sign("sub.csr", "root", "sub.pem", GOOD);
            company.chain(CaRole::Devices, GOOD)
        },
        "path length",
    );
}

#[test]
fn attack_chain_that_leads_to_another_root_than_the_others() {
    let company = Company::new();
    company.import(&company.chain(CaRole::Devices, GOOD)).expect("a good chain");
    company.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out evil.key");
    company.openssl("req -x509 -new -key evil.key -subj /O=Company/CN=Root -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign -out evil.pem");
    company.sign("ca/clients.csr", "evil", "clients.pem", GOOD);
    let chain = ["clients.pem", "evil.pem"].map(|file| fs::read_to_string(company.path(file)).unwrap()).concat();
    let error = company.import(&chain).map(drop).expect_err("refused").to_string();
    assert!(error.contains("another root"), "{error}");
}
