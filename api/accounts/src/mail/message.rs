//! One mail, and its form on the wire (RFC 5322, RFC 2045).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use uuid::Uuid;

use crate::email::{EmailAddress, EmailError};

/// A mail to one person.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To whom.
    pub to: EmailAddress,
    /// What it is about.
    pub subject: String,
    /// The text, with `\n` at the end of lines.
    pub text: String,
}

/// From whom mails come.
#[derive(Clone, Debug)]
pub struct Sender {
    name: String,
    address: EmailAddress,
}

impl Sender {
    /// Reads `Name <address>` or an address alone.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text),
        };
        if name.contains(char::is_control) {
            return Err(EmailError("the name has control characters"));
        }
        Ok(Self { name: name.trim_matches('"').to_owned(), address: EmailAddress::parse_sender(address)? })
    }

    pub(crate) const fn address(&self) -> &EmailAddress {
        &self.address
    }

    fn header(&self) -> String {
        let address = self.address.in_brackets();
        if self.name.is_empty() { address } else { format!("{} {address}", encoded_word(&self.name)) }
    }
}

/// Bytes that go into one encoded word: 39 become 52 of base64, 64 with what is around them, so that a line with a header's name has at most 76
/// characters (RFC 2047, 2).
const WORD_BYTES_MAX: usize = 39;
/// Characters of base64 in a line (RFC 2045, 6.8).
const LINE_CHARS_MAX: usize = 76;

impl Mail {
    /// The whole message, with CRLF at the end of lines.
    pub(crate) fn to_message(&self, sender: &Sender, now: OffsetDateTime) -> String {
        let date = now.format(&Rfc2822).unwrap_or_default();
        let domain = sender.address.as_str().rsplit('@').next().unwrap_or_default();
        let is_plain = self.text.is_ascii() && self.text.lines().all(|line| line.len() <= LINE_BYTES_MAX);
        let (encoding, body) = if is_plain {
            ("7bit", self.text.lines().fold(String::new(), |body, line| body + line + "\r\n"))
        } else {
            ("base64", base64_lines(&self.text))
        };
        let mut message = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            message,
            "Date: {date}\r\nFrom: {}\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{}@{domain}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}",
            sender.header(),
            self.to.in_brackets(),
            encoded_word(&self.subject),
            Uuid::new_v4(),
        );
        message
    }
}

/// RFC 5322, 2.1.1: 998 at most, without the CRLF.
const LINE_BYTES_MAX: usize = 998;

/// Text as a header may have it: as it is where it is harmless, else as encoded words. Nothing in it can begin another header.
fn encoded_word(text: &str) -> String {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || " .,:;-_'!?()".contains(c);
    if text.len() <= LINE_CHARS_MAX && text.chars().all(is_harmless) && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars().filter(|c| !c.is_control()) {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_BYTES_MAX) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let encoded: Vec<String> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    encoded.join("\r\n ")
}

fn base64_lines(text: &str) -> String {
    let encoded = STANDARD.encode(text.replace('\n', "\r\n"));
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE_CHARS_MAX * 2 + 2);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at.is_multiple_of(LINE_CHARS_MAX) {
            lines.push_str("\r\n");
        }
        lines.push(c);
    }
    lines + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, text: &str, sender: &str) -> String {
        let to = EmailAddress::parse("ada@example.com").unwrap();
        let mail = Mail { to, subject: subject.to_owned(), text: text.to_owned() };
        mail.to_message(&Sender::parse(sender).unwrap(), OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_plain_mail_is_readable_as_it_is() {
        let message =
            message("Your code for Mooring: 12345678", "Hello\nhttps://h/x?a=b\n", "Mooring <no-reply@example.com>");
        assert!(message.contains("\r\nFrom: Mooring <no-reply@example.com>\r\nTo: <ada@example.com>\r\n"), "{message}");
        assert!(message.contains("\r\nSubject: Your code for Mooring: 12345678\r\n"), "{message}");
        assert!(message.ends_with("\r\n\r\nHello\r\nhttps://h/x?a=b\r\n"), "{message}");
    }

    #[test]
    fn attack_nothing_in_a_subject_or_a_name_begins_another_header() {
        let message =
            message("x\r\nBcc: all@example.com\r\n\r\nbody", "t", "Acme \u{dc}ber GmbH <no-reply@example.com>");
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "Date",
                "From",
                "To",
                "Subject",
                "Message-ID",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type",
                "Content-Transfer-Encoding"
            ]
        );
        assert!(Sender::parse("Mooring <mooring@localhost>").is_ok());
        assert!(Sender::parse("a\r\nBcc: x <no-reply@example.com>").is_err());
        assert!(Sender::parse("Acme <no-reply@example.com\r\nX: y>").is_err());
    }

    #[test]
    fn a_text_that_is_not_ascii_is_base64_in_short_lines() {
        let message = message("\u{fc}".repeat(60).as_str(), &"\u{e9}\n".repeat(100), "no-reply@example.com");
        assert!(message.split("\r\n").all(|line| line.len() <= 78 && line.is_ascii()), "{message}");
        let (_, body) = message.split_once("\r\n\r\n").unwrap();
        let decoded = STANDARD.decode(body.replace("\r\n", "")).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "\u{e9}\r\n".repeat(100));
    }
}
