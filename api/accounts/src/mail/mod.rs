//! Mails to people: composed from the catalogue, queued, and given to whatever delivers them.

mod compose;
mod message;
mod outbox;
mod queue;
mod smtp;

use futures_util::future::BoxFuture;

use crate::email::EmailAddress;

pub use message::{Mail, Sender};
pub use outbox::FileOutbox;
pub use smtp::{SmtpMailer, SmtpSecurity, SmtpSettings};

pub(crate) use compose::{Kind, compose};
pub(crate) use queue::MailQueue;

/// Why a mail was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It may work later.
    #[error("not delivered yet: {0}")]
    Passing(String),
    /// It won't.
    #[error("not delivered: {0}")]
    Refused(String),
}

/// What delivers mails.
pub trait Mailer: Send + Sync {
    /// Delivers one mail, or says why not. Called off the way of requests, one at a time.
    fn deliver<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>>;
}

impl EmailAddress {
    /// The address in the form of a header or an SMTP path: it holds nothing that could end either.
    pub(crate) fn in_brackets(&self) -> String {
        format!("<{}>", self.as_str())
    }
}
