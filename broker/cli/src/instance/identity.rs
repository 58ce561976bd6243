//! The server's own certificate: made by our authority, renewed and swapped in while it runs.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mooring_auth::{
    Anchors, ClientCertificate, HttpsPeers, MutualTls, ReloadableTls, RevokedSet, https_server_config, server_config,
};
use mooring_certs::{
    Authority, CaOptions, FileKeyStore, Issued, KeySecret, LiveAuthority, PrivateKey, ServerName, ServerNames,
    SpiffeKind, TrustDomain, Validity,
};
use mooring_server::TlsConfigs;
use mooring_store::{CertificateHolder, NewCertificate, Store, StoreError};
use rustls::pki_types::PrivateKeyDer;
use time::OffsetDateTime;
use tokio::sync::watch;

use super::public_name::PublicName;
use crate::config::{self, Config};
use crate::data_dir::DataDir;

/// Opens the authority of the data directory, or makes it; the flag is true when it is new.
pub(crate) fn open_authority(data_dir: &DataDir, config: &Config) -> anyhow::Result<(Authority, bool)> {
    let trust_domain = TrustDomain::parse(&config.server.trust_domain).context("server.trust_domain")?;
    let options = CaOptions {
        trust_domain: trust_domain.clone(),
        organisation: config.server.organisation.clone(),
        now: OffsetDateTime::now_utc(),
    };
    let keys = key_store(&data_dir.authority(), config)?;
    let (mut authority, is_new) = Authority::open_or_create_with(&data_dir.authority(), &keys, &options)?;
    if let Some(url) = &config.certificates.public_url {
        authority.set_public_url(url);
    }
    if authority.trust_domain() != &trust_domain {
        bail!(
            "server.trust_domain is {trust_domain}, but the authority in {} was made for {}: every certificate names it, so it can't change",
            data_dir.authority().display(),
            authority.trust_domain()
        );
    }
    let root = data_dir.root_certificate();
    std::fs::write(&root, authority.root_pem()).with_context(|| format!("{}", root.display()))?;
    Ok((authority, is_new))
}

/// The authority's keys in files of this directory, encrypted when the configuration names a key file.
pub(crate) fn key_store(directory: &Path, config: &Config) -> anyhow::Result<FileKeyStore> {
    let secret = config.certificates.key_file.as_deref().map(KeySecret::read).transpose();
    Ok(FileKeyStore::new(directory.to_owned()).with_secret(secret.context("certificates.key_file")?))
}

/// The certificate that every TLS listener shows, and what each asks of its clients.
pub(crate) struct ServerIdentity {
    authority: LiveAuthority,
    names: ServerNames,
    lifetime: time::Duration,
    mutual: MutualTls,
    peers: HttpsPeers,
    /// Certificates that were made and are not on record yet.
    unrecorded: Mutex<Vec<Issued>>,
    public: Arc<PublicName>,
    required: ReloadableTls,
    optional: ReloadableTls,
    none: ReloadableTls,
    https: ReloadableTls,
}

/// The configurations of one certificate.
struct Configs {
    required: rustls::ServerConfig,
    optional: rustls::ServerConfig,
    none: rustls::ServerConfig,
    https: rustls::ServerConfig,
}

impl ServerIdentity {
    /// Makes a key and its certificate; the key is never on disk.
    pub(crate) fn make(config: &Config, authority: LiveAuthority, revoked: Arc<RevokedSet>) -> anyhow::Result<Self> {
        let addresses = config.server.names.iter().map(String::as_str);
        let names = ServerNames::parse(ServerName::parse("mooring")?, addresses).context("server.names")?;
        let lifetime = time::Duration::days(i64::from(config.certificates.server_days));
        let current = authority.current();
        let mutual = MutualTls::new(current.trust_domain().clone(), Anchors::of_authority(&current)?, revoked);
        let peers = HttpsPeers::new(current.trust_domain().clone(), mutual.clone());
        peers.set_grace_s(i64::from(config.certificates.grace_days) * 86_400);
        let public = PublicName::open(&config.public_certificate).context("public_certificate")?;
        let (configs, issued) = issue(&current, &names, lifetime, &mutual, &peers, &public)?;
        let Configs { required, optional, none, https } = configs;
        let [required, optional, none, https] = [required, optional, none, https].map(ReloadableTls::new);
        let unrecorded = Mutex::new(vec![issued]);
        Ok(Self { authority, names, lifetime, mutual, peers, unrecorded, public, required, optional, none, https })
    }

    /// For an MQTT listener.
    pub(crate) fn mqtt(&self, client: config::ClientCertificate) -> Arc<dyn TlsConfigs> {
        let reloadable = match client {
            config::ClientCertificate::Required => &self.required,
            config::ClientCertificate::Optional => &self.optional,
            config::ClientCertificate::None => &self.none,
        };
        Arc::new(Reloadable(reloadable.clone()))
    }

    /// The certificate of the HTTPS listener's public name.
    pub(crate) fn public(&self) -> &Arc<PublicName> {
        &self.public
    }

    /// For the HTTPS listener: a client certificate is welcome.
    pub(crate) fn https(&self) -> mooring_api::Tls {
        mooring_api::Tls { configs: Arc::new(Reloadable(self.https.clone())), peers: self.peers.clone() }
    }

    /// Who tells what the client certificates of the HTTPS listener are good for.
    pub(crate) fn peers(&self) -> &HttpsPeers {
        &self.peers
    }

    /// Puts the authority as it is on disk now in the place of the one in use: it signs from now on, and what those before it signed is good until
    /// they end.
    pub(crate) fn reload_authority(&self, directory: &Path, config: &Config) -> anyhow::Result<()> {
        let mut authority = Authority::open_with(directory, &key_store(directory, config)?)?;
        if authority.trust_domain() != self.authority.current().trust_domain() {
            bail!("the authority in {} is of another trust domain", directory.display());
        }
        if let Some(url) = &config.certificates.public_url {
            authority.set_public_url(url);
        }
        let anchors = Anchors::of_authority(&authority)?;
        self.authority.replace(authority);
        self.mutual.set_anchors(anchors);
        Ok(())
    }

    /// Puts the certificates that were made since on record. What the database does not take now waits.
    pub(crate) async fn record(&self, store: &Store) {
        let issued = std::mem::take(&mut *self.unrecorded());
        for (at, one) in issued.iter().enumerate() {
            if let Err(error) = record(store, one).await {
                tracing::debug!(%error, "a certificate of the server is not on record yet");
                self.unrecorded().extend(issued.into_iter().skip(at));
                return;
            }
        }
    }

    /// Each change of the list is one call: a panic elsewhere leaves it whole.
    fn unrecorded(&self) -> MutexGuard<'_, Vec<Issued>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the certificate at two thirds of its life, until `stop` turns true. Connections that are there keep the old one.
    pub(crate) async fn renew(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let wait = Duration::try_from(self.lifetime * 2 / 3).unwrap_or(Duration::MAX);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(error) = self.replace() {
                tracing::error!(%error, "the server's certificate could not be renewed");
            }
        }
    }

    /// Makes a new certificate now; connections that are there keep the old one.
    pub(crate) fn replace(&self) -> anyhow::Result<()> {
        let (configs, issued) =
            issue(&self.authority.current(), &self.names, self.lifetime, &self.mutual, &self.peers, &self.public)?;
        let Configs { required, optional, none, https } = configs;
        self.unrecorded().push(issued);
        self.required.replace(required);
        self.optional.replace(optional);
        self.none.replace(none);
        self.https.replace(https);
        tracing::info!("the server has a new certificate");
        Ok(())
    }
}

fn issue(
    authority: &Authority,
    names: &ServerNames,
    lifetime: time::Duration,
    mutual: &MutualTls,
    peers: &HttpsPeers,
    public: &Arc<PublicName>,
) -> anyhow::Result<(Configs, Issued)> {
    let key = PrivateKey::generate()?;
    let issued = authority.issue_server_for_key(&key, names, &Validity::new(OffsetDateTime::now_utc(), lifetime))?;
    let config = |client| {
        let der = PrivateKeyDer::from(key.to_der());
        server_config(issued.chain_der(), der, client, mutual)
    };
    let mut https = https_server_config(issued.chain_der(), PrivateKeyDer::from(key.to_der()), peers)?;
    // HTTP/1.1 only: MQTT over WebSocket needs its upgrade.
    https.alpn_protocols = vec![b"http/1.1".to_vec()];
    public.join(&mut https);
    let configs = Configs {
        required: config(ClientCertificate::Required)?,
        optional: config(ClientCertificate::Optional)?,
        none: config(ClientCertificate::None)?,
        https,
    };
    Ok((configs, issued))
}

/// A certificate of the server, and that it was issued.
async fn record(store: &Store, issued: &Issued) -> Result<(), StoreError> {
    let SpiffeKind::Server(name) = &issued.spiffe_id.kind else { return Ok(()) };
    let serial = issued.serial.to_string();
    let now = OffsetDateTime::now_utc();
    let certificate = NewCertificate {
        serial: serial.clone(),
        holder: CertificateHolder::Server(name.to_string()),
        issuer: issued.issuer_id.to_string(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        fingerprint: issued.fingerprint_sha256,
        der: issued.der.to_vec(),
    };
    match store.record_certificate(&certificate, now).await {
        // The answer to an attempt before was lost, and the certificate was not.
        Ok(()) | Err(StoreError::Conflict { .. }) => {}
        Err(error) => return Err(error),
    }
    let detail = serde_json::json!({"serial": serial, "not_after": issued.not_after.unix_timestamp()});
    store.append_audit("system", "certificate.issue", &format!("server:{name}"), &detail, now).await.map(drop)
}

/// The two crates' views of one thing.
struct Reloadable(ReloadableTls);

impl TlsConfigs for Reloadable {
    fn current(&self) -> Arc<rustls::ServerConfig> {
        self.0.current()
    }
}
