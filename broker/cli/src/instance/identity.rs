//! The server's own certificate: made by our authority, renewed and swapped in while it runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mooring_auth::{Anchors, ClientCertificate, MutualTls, ReloadableTls, RevokedSet, server_config};
use mooring_certs::{
    Authority, CaOptions, FileKeyStore, KeySecret, PrivateKey, ServerName, ServerNames, TrustDomain, Validity,
};
use mooring_server::TlsConfigs;
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
    authority: Arc<Authority>,
    names: ServerNames,
    lifetime: time::Duration,
    mutual: MutualTls,
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
    pub(crate) fn make(config: &Config, authority: Arc<Authority>, revoked: Arc<RevokedSet>) -> anyhow::Result<Self> {
        let addresses = config.server.names.iter().map(String::as_str);
        let names = ServerNames::parse(ServerName::parse("mooring")?, addresses).context("server.names")?;
        let lifetime = time::Duration::days(i64::from(config.certificates.server_days));
        let mutual = MutualTls::new(authority.trust_domain().clone(), Anchors::of_authority(&authority)?, revoked);
        let public = PublicName::open(&config.public_certificate).context("public_certificate")?;
        let Configs { required, optional, none, https } = issue(&authority, &names, lifetime, &mutual, &public)?;
        let [required, optional, none, https] = [required, optional, none, https].map(ReloadableTls::new);
        Ok(Self { authority, names, lifetime, mutual, public, required, optional, none, https })
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
    pub(crate) fn https(&self) -> Arc<dyn TlsConfigs> {
        Arc::new(Reloadable(self.https.clone()))
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
        let Configs { required, optional, none, https } =
            issue(&self.authority, &self.names, self.lifetime, &self.mutual, &self.public)?;
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
    public: &Arc<PublicName>,
) -> anyhow::Result<Configs> {
    let key = PrivateKey::generate()?;
    let issued = authority.issue_server_for_key(&key, names, &Validity::new(OffsetDateTime::now_utc(), lifetime))?;
    let config = |client| {
        let der = PrivateKeyDer::from(key.to_der());
        server_config(issued.chain_der(), der, client, mutual)
    };
    let mut https = config(ClientCertificate::Optional)?;
    // HTTP/1.1 only: MQTT over WebSocket needs its upgrade.
    https.alpn_protocols = vec![b"http/1.1".to_vec()];
    public.join(&mut https);
    Ok(Configs {
        required: config(ClientCertificate::Required)?,
        optional: config(ClientCertificate::Optional)?,
        none: config(ClientCertificate::None)?,
        https,
    })
}

/// The two crates' views of one thing.
struct Reloadable(ReloadableTls);

impl TlsConfigs for Reloadable {
    fn current(&self) -> Arc<rustls::ServerConfig> {
        self.0.current()
    }
}
