//! `[accounts]` and `[mail]`: how people sign up and sign in, and how mails reach them.

use std::path::PathBuf;

/// `[accounts]`
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) service: String,
    pub(crate) sign_up: bool,
    pub(crate) argon2_memory_kib: u32,
    pub(crate) argon2_passes: u32,
    pub(crate) argon2_lanes: u32,
    pub(crate) hashes_max: usize,
    pub(crate) password_chars_min: usize,
    pub(crate) breached_passwords: Option<PathBuf>,
    pub(crate) session_idle_days: u32,
    pub(crate) session_days: u32,
    pub(crate) mail_code_minutes: u32,
    pub(crate) free_tries: u32,
    pub(crate) free_tries_of_address: u32,
    pub(crate) wait_s_max: u32,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            service: "Mooring".to_owned(),
            sign_up: true,
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            argon2_lanes: 1,
            hashes_max: 2,
            password_chars_min: 12,
            breached_passwords: None,
            session_idle_days: 14,
            session_days: 90,
            mail_code_minutes: 60,
            free_tries: 5,
            free_tries_of_address: 30,
            wait_s_max: 900,
        }
    }
}

/// `[mail]`
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) smtp_host: Option<String>,
    pub(crate) smtp_port: u16,
    pub(crate) smtp_security: SmtpSecurity,
    pub(crate) smtp_user: Option<String>,
    pub(crate) smtp_password_file: Option<PathBuf>,
    pub(crate) smtp_trust_file: PathBuf,
    pub(crate) smtp_timeout_ms: u64,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmtpSecurity {
    Tls,
    StartTls,
    None,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            from: "Mooring <mooring@localhost>".to_owned(),
            smtp_host: None,
            smtp_port: 587,
            smtp_security: SmtpSecurity::StartTls,
            smtp_user: None,
            smtp_password_file: None,
            smtp_trust_file: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            smtp_timeout_ms: 30_000,
        }
    }
}

impl Mail {
    /// What is wrong with it, and with which key.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let local = ["localhost", "127.0.0.1", "::1"];
        let is_local = self.smtp_host.as_deref().is_none_or(|host| local.contains(&host));
        if self.smtp_security == SmtpSecurity::None && !is_local {
            let why = "without TLS, mails with codes would cross the network in the clear: \"none\" is for a mail server on this machine";
            return Err(("mail.smtp_security".to_owned(), why.to_owned()));
        }
        if self.smtp_user.is_some() != self.smtp_password_file.is_some() {
            let why = "a user of the mail server has a password: set smtp_user and smtp_password_file, or neither";
            return Err(("mail.smtp_user".to_owned(), why.to_owned()));
        }
        Ok(())
    }
}
