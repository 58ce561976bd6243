//! The public certificate from an ACME server (RFC 8555), such as Let's Encrypt, which validates by TLS-ALPN (RFC 8737) on the HTTPS listener: no
//! second port, and no rights over the DNS.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use mooring_certs::{PublicRequest, certificate_times, challenge_certificate};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{PublicName, certified, is_for};
use crate::config::AcmeOrder;

/// The wait after the first failure; each further one is four times as long. Let's Encrypt takes five failures an hour.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Shows the certificate on disk, and orders a new one at two thirds of its life; for ever.
pub(super) async fn keep_fresh(public: &PublicName, order: &AcmeOrder, dir: PathBuf) {
    let files = Files { dir };
    let mut retry = RETRY_FIRST;
    loop {
        let wait = match files.certificate(order) {
            Some(good) => {
                public.show(good.certified);
                retry = RETRY_FIRST;
                good.renew_in
            }
            None => Duration::ZERO,
        };
        tokio::time::sleep(wait).await;
        match renew(public, order, &files).await {
            Ok(()) => tracing::info!(names = %order.domains.join(", "), "the ACME server gave a new certificate"),
            Err(error) => {
                tracing::error!(again_in_s = retry.as_secs(), "no certificate from the ACME server: {error:#}");
                tokio::time::sleep(retry).await;
                retry = (retry * 4).min(RETRY_LONGEST);
            }
        }
        public.set_challenges(HashMap::new());
    }
}

/// Orders a certificate, and puts it on disk.
async fn renew(public: &PublicName, wanted: &AcmeOrder, files: &Files) -> anyhow::Result<()> {
    let account = files.account(wanted).await?;
    let names: Vec<_> = wanted.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.context("the order")?;
    answer_challenges(public, &mut order).await?;
    let retries = RetryPolicy::default();
    match order.poll_ready(&retries).await.context("the validation")? {
        OrderStatus::Ready => {}
        _ => bail!("the server could not validate the names: {}", refusal(&mut order).await),
    }
    let request = PublicRequest::new(&wanted.domains)?;
    order.finalize_csr(&request.csr_der).await.context("the request")?;
    let chain = order.poll_certificate(&retries).await.context("the certificate")?;
    certified(chain.as_bytes(), request.key_pem.as_bytes()).context("the server's answer")?;
    files.write("certificate.pem", chain.as_bytes())?;
    // The key last: a crash in between leaves a pair that does not fit, which is ordered again.
    files.write("key.pem", request.key_pem.as_bytes())
}

/// Lays the answers out first, and only then says that they are there.
async fn answer_challenges(public: &PublicName, order: &mut Order) -> anyhow::Result<()> {
    let mut answers = HashMap::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.context("the authorization")?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => bail!("the authorization of {} is {other:?}", authorization.identifier()),
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.with_context(|| format!("the server offers no tls-alpn-01 for {name}"))?;
        let (certificate, key) = challenge_certificate(&name, challenge.key_authorization().digest().as_ref())?;
        // Not `CertifiedKey::from_der`: its parser refuses the critical extension that such a certificate has.
        let key = mooring_auth::tls::provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(key))?;
        answers.insert(name.to_ascii_lowercase(), Arc::new(CertifiedKey::new(vec![certificate], key)));
        public.set_challenges(answers.clone());
        challenge.set_ready().await.context("the challenge")?;
    }
    Ok(())
}

/// What the server says of the names that it did not validate.
async fn refusal(order: &mut Order) -> String {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(errors.map(|error| format!("{}: {error}", authorization.identifier())));
    }
    said.join("; ")
}

/// `acme/` in the data directory: the account's key, and the certificate with its key. For nobody else to read.
struct Files {
    dir: PathBuf,
}

/// A certificate that is good for a while.
struct Good {
    certified: CertifiedKey,
    renew_in: Duration,
}

impl Files {
    /// The certificate on disk, when it is for the names of the configuration and not over.
    fn certificate(&self, order: &AcmeOrder) -> Option<Good> {
        let chain = fs::read(self.dir.join("certificate.pem")).ok()?;
        let key = fs::read(self.dir.join("key.pem")).ok()?;
        let certified = certified(&chain, &key).ok()?;
        let (from, to) = certificate_times(certified.end_entity_cert().ok()?)?;
        let now = OffsetDateTime::now_utc();
        let renew_at = from + (to - from) * 2 / 3;
        (order.domains.iter().all(|name| is_for(&certified, name)) && now < to)
            .then(|| Good { certified, renew_in: Duration::try_from(renew_at - now).unwrap_or(Duration::ZERO) })
    }

    /// The account of this server at that directory, made when there is none.
    async fn account(&self, order: &AcmeOrder) -> anyhow::Result<Account> {
        let path = self.dir.join("account.json");
        let known = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Known>(&text).ok());
        if let Some(known) = known.filter(|known| known.directory == order.directory) {
            return builder(order)?.from_credentials(known.credentials).await.context("the account");
        }
        let contact = order.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder(order)?.create(&new, order.directory.clone(), None).await.context("the account")?;
        let known = Known { directory: order.directory.clone(), credentials };
        self.write("account.json", serde_json::to_string(&known)?.as_bytes())?;
        Ok(account)
    }

    /// Puts a file in place, whole or not at all.
    fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        let write = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let temporary = path.with_extension("new");
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("{}", path.display()))
    }
}

/// An account belongs to one server.
#[derive(serde::Serialize, serde::Deserialize)]
struct Known {
    directory: String,
    credentials: AccountCredentials,
}

fn builder(order: &AcmeOrder) -> anyhow::Result<AccountBuilder> {
    match &order.root_file {
        Some(path) => Account::builder_with_root(path).with_context(|| format!("{}", path.display())),
        None => Account::builder().context("the trusted roots of this machine"),
    }
}
