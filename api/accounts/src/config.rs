//! What an operator chooses for accounts.

use std::path::PathBuf;
use std::time::Duration;

use mooring_auth::Argon2Cost;

use crate::throttle::ThrottleConfig;
use crate::token::AccountKey;

/// What an operator chooses for accounts.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// What the service is called, in mails, in authenticator apps and by passkeys.
    pub service: String,
    /// Where browsers find the pages: scheme, host and port, without a slash at the end. Links in mails begin with it, and passkeys belong to
    /// its host.
    pub public_url: String,
    /// Whether people may sign up by themselves.
    pub sign_up: bool,
    /// Seals and signs what is stored.
    pub key: AccountKey,
    /// The cost of one hash of a password.
    pub argon2: Argon2Cost,
    /// Hashes computed at a time.
    pub hashes_max: usize,
    /// The fewest characters of a new password.
    pub password_chars_min: usize,
    /// The file that `mooring passwords build` made.
    pub breached_passwords: Option<PathBuf>,
    /// How long a browser's session may be unused.
    pub session_idle: Duration,
    /// How long it lasts at the most.
    pub session_max: Duration,
    /// How long the code or link in a mail is good.
    pub mail_code: Duration,
    /// How long a sign-in waits for its second factor, and a passkey's challenge for its answer.
    pub pending: Duration,
    /// How long after a sign-in one may change the ways to sign in without the password.
    pub recent: Duration,
    /// How often somebody may try.
    pub throttle: ThrottleConfig,
}

impl AccountsConfig {
    /// The defaults, for a service at this address.
    #[must_use]
    pub fn new(public_url: &str, key: AccountKey) -> Self {
        let (minute, hour, day) = (Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(86_400));
        Self {
            service: "Mooring".to_owned(),
            public_url: public_url.trim_end_matches('/').to_owned(),
            sign_up: true,
            key,
            argon2: Argon2Cost::default(),
            hashes_max: 2,
            password_chars_min: 12,
            breached_passwords: None,
            session_idle: 14 * day,
            session_max: 90 * day,
            mail_code: hour,
            pending: 10 * minute,
            recent: 10 * minute,
            throttle: ThrottleConfig::default(),
        }
    }

    /// The host that passkeys belong to (Web Authentication, 5.1.2: the RP ID).
    pub(crate) fn relying_party(&self) -> &str {
        let authority = self.public_url.split_once("://").map_or(self.public_url.as_str(), |(_, rest)| rest);
        let host = authority.split('/').next().unwrap_or_default();
        match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }

    /// The origin that a browser on our pages has: scheme, host and port, without a path.
    pub(crate) fn origin(&self) -> String {
        match self.public_url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
            None => self.public_url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_origin_follow_from_the_address() {
        for (url, host, origin) in [
            ("https://home.example.com", "home.example.com", "https://home.example.com"),
            ("https://localhost:8443/", "localhost", "https://localhost:8443"),
            ("https://example.com:8443/base", "example.com", "https://example.com:8443"),
            ("https://[::1]:8443", "::1", "https://[::1]:8443"),
        ] {
            let config = AccountsConfig::new(url, AccountKey::new(&[0; 32]));
            assert_eq!((config.relying_party(), config.origin().as_str()), (host, origin), "{url}");
        }
    }
}
