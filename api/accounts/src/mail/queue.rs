//! Mails wait here for their delivery, so that no answer takes longer because a mail is sent, and none is lost to a mail server's pause.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Mail, MailError, Mailer};

/// Mails that may wait.
const WAITING_MAX: usize = 1_000;
/// How long to wait after each failure; after the last the mail is given up.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];

/// The way in.
#[derive(Clone)]
pub(crate) struct MailQueue {
    waiting: mpsc::Sender<Mail>,
}

impl MailQueue {
    /// Starts the task that delivers; it ends when the queue is dropped and empty.
    pub(crate) fn start(mailer: Arc<dyn Mailer>) -> Self {
        let (waiting, mut mails) = mpsc::channel::<Mail>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(mail) = mails.recv().await {
                deliver(&*mailer, &mail).await;
            }
        });
        Self { waiting }
    }

    /// Lets a mail wait for its delivery.
    pub(crate) fn send(&self, mail: Mail) {
        if self.waiting.try_send(mail).is_err() {
            tracing::error!(waiting = WAITING_MAX, "too many mails wait: one was given up");
        }
    }
}

async fn deliver(mailer: &dyn Mailer, mail: &Mail) {
    for pause in PAUSES {
        match mailer.deliver(mail).await {
            Ok(()) => return,
            Err(error @ MailError::Refused(_)) => {
                tracing::warn!(%error, "a mail was refused");
                return;
            }
            Err(error @ MailError::Passing(_)) => {
                tracing::warn!(%error, again_in_s = pause.as_secs(), "a mail was not delivered yet");
                tokio::time::sleep(pause).await;
            }
        }
    }
    if let Err(error) = mailer.deliver(mail).await {
        tracing::error!(%error, "a mail was given up");
    }
}
