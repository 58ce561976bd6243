//! Who is at the other end, as far as can be told before a sign-in.

use std::net::IpAddr;

/// What a request tells of the one who sends it.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The network address that it comes from.
    pub address: IpAddr,
    /// What the browser or app calls itself: shown in the list of sessions.
    pub user_agent: String,
    /// The cookie that [`crate::SignedIn::known_device`] filled at an earlier sign-in.
    pub known_device: Option<String>,
    /// The language of mails to a new account.
    pub language: String,
}

impl Visitor {
    /// Somebody of whom nothing is known but the address.
    #[must_use]
    pub fn from_address(address: IpAddr) -> Self {
        Self { address, user_agent: String::new(), known_device: None, language: "en".to_owned() }
    }

    /// The name of browser or app, without what can't be printed, and cut where it is too long.
    pub(crate) fn printable_user_agent(&self) -> String {
        self.user_agent.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS_MAX).collect()
    }
}

const USER_AGENT_CHARS_MAX: usize = 200;
