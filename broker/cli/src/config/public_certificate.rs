//! `[public_certificate]`: where the certificate of the public HTTPS name comes from.

use std::path::{Path, PathBuf};

/// Files of the operator's, or an ACME server, or neither.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublicCertificate {
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) private_key_file: Option<PathBuf>,
    pub(super) acme_terms_agreed: bool,
    pub(super) order: AcmeOrder,
}

/// What is asked of an ACME server.
#[derive(Clone, Debug)]
pub(crate) struct AcmeOrder {
    /// The DNS names.
    pub(crate) domains: Vec<String>,
    /// Where the server may write when something is wrong.
    pub(crate) email: Option<String>,
    /// The URL of the server's directory.
    pub(crate) directory: String,
    /// The root that the server's own certificate comes from; the machine's roots otherwise.
    pub(crate) root_file: Option<PathBuf>,
}

impl Default for AcmeOrder {
    fn default() -> Self {
        let directory = instant_acme::LetsEncrypt::Production.url().to_owned();
        Self { domains: Vec::new(), email: None, directory, root_file: None }
    }
}

impl PublicCertificate {
    /// Whether there is to be a public certificate.
    pub(crate) fn is_set(&self) -> bool {
        self.files().is_some() || self.acme().is_some()
    }

    /// The operator's files: the certificate with its chain, and the key.
    pub(crate) fn files(&self) -> Option<(&Path, &Path)> {
        self.certificate_file.as_deref().zip(self.private_key_file.as_deref())
    }

    /// The order, where an ACME server gives the certificate.
    pub(crate) fn acme(&self) -> Option<&AcmeOrder> {
        (!self.order.domains.is_empty()).then_some(&self.order)
    }

    /// What is wrong with it, and with which key.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, why: &str| Err((format!("public_certificate.{key}"), why.to_owned()));
        match (&self.certificate_file, &self.private_key_file, self.acme()) {
            (Some(_), None, _) => wrong("certificate_file", "needs private_key_file beside it"),
            (None, Some(_), _) => wrong("private_key_file", "needs certificate_file beside it"),
            (Some(_), Some(_), Some(_)) => {
                wrong("acme_domains", "the certificate comes from files or from an ACME server, not from both")
            }
            (None, None, Some(_)) if !self.acme_terms_agreed => wrong(
                "acme_domains",
                "needs acme_terms_agreed = true: the ACME server's terms of service have to be agreed to",
            ),
            _ => Ok(()),
        }
    }
}
