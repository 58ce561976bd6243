//! Mails as files in a directory: works without a mail server, and shows each mail to whoever runs this one.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Mail, MailError, Mailer, Sender};

/// Writes each mail to a file of its own, `<time>-<id>.eml`: readable by the user of this process alone, and whole as soon as it has this name.
#[derive(Clone, Debug)]
pub struct FileOutbox {
    directory: PathBuf,
    sender: Sender,
}

impl FileOutbox {
    /// Into this directory, which is made when the first mail is written.
    #[must_use]
    pub fn new(directory: &Path, sender: Sender) -> Self {
        Self { directory: directory.to_owned(), sender }
    }
}

impl Mailer for FileOutbox {
    fn deliver<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        let now = OffsetDateTime::now_utc();
        let message = mail.to_message(&self.sender, now);
        let directory = self.directory.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || write(&directory, now, &message));
            let written = written.await.map_err(|error| MailError::Passing(error.to_string()))?;
            written.map_err(|error| MailError::Passing(format!("{}: {error}", self.directory.display())))
        })
    }
}

fn write(directory: &Path, now: OffsetDateTime, message: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let name = format!("{:016}-{}", now.unix_timestamp_nanos() / 1000, Uuid::new_v4().simple());
    let unfinished = directory.join(format!(".{name}.tmp"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(message.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, directory.join(format!("{name}.eml")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmailAddress;

    #[tokio::test]
    async fn each_mail_is_a_file_that_others_cannot_read() {
        use std::os::unix::fs::PermissionsExt as _;

        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("outbox");
        let outbox = FileOutbox::new(&directory, Sender::parse("Mooring <no-reply@example.com>").unwrap());
        let to = EmailAddress::parse("ada@example.com").unwrap();
        outbox.deliver(&Mail { to, subject: "s".to_owned(), text: "t\n".to_owned() }).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        assert!(files[0].file_name().to_str().unwrap().ends_with(".eml"));
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o077, 0);
        assert!(std::fs::read_to_string(files[0].path()).unwrap().contains("To: <ada@example.com>"));
    }
}
