//! E-mail addresses: ASCII alone, so that no two of them look alike and are different, or are the same and look different.

use std::fmt;

/// The longest address (RFC 5321, 4.5.3.1.3: a path of 256 bytes with its angle brackets).
const ADDRESS_BYTES_MAX: usize = 254;
/// RFC 5321, 4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;
/// RFC 1035, 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// An address that mail can be sent to: a dot-atom, `@`, and a domain in ASCII. The case of its letters is kept, and does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress(String);

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable e-mail address: {0}")]
pub struct EmailError(pub &'static str);

impl EmailAddress {
    /// Reads an address. Quoted local parts, address literals and comments are refused: nobody has such an address, and each of them is a way
    /// to smuggle something into a header or a command.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim_matches(' ');
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(EmailError("it is too long"));
        }
        if !text.is_ascii() {
            return Err(EmailError(
                "only ASCII letters, digits and signs can stand in it; write an international domain in its xn-- form",
            ));
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError("there is no @ in it"))?;
        check_local(local)?;
        check_domain(domain)?;
        Ok(Self(text.to_owned()))
    }

    /// Reads the address of a sender, which may be on this machine alone: `mooring@localhost`.
    pub(crate) fn parse_sender(text: &str) -> Result<Self, EmailError> {
        match text.trim_matches(' ').strip_suffix("@localhost") {
            Some(local) => check_local(local).map(|()| Self(format!("{local}@localhost"))),
            None => Self::parse(text),
        }
    }

    /// The address as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which addresses are compared.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// What stands before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dot-atom (RFC 5322, 3.2.3).
fn check_local(local: &str) -> Result<(), EmailError> {
    if local.is_empty() || local.len() > LOCAL_BYTES_MAX {
        return Err(EmailError("before the @ stand 1 to 64 characters"));
    }
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    if !local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext)) {
        return Err(EmailError("before the @ stands a sign that can't stand there"));
    }
    Ok(())
}

/// At least two labels of letters, digits and hyphens (RFC 1035, 2.3.1; RFC 1123, 2.1).
fn check_domain(domain: &str) -> Result<(), EmailError> {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let mut labels = domain.split('.');
    let last = labels.next_back().unwrap_or_default();
    let has_more = domain.contains('.');
    if !has_more || !labels.all(is_label) || !is_label(last) || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EmailError("after the @ stands no domain such as example.com"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::EmailAddress;

    #[test]
    fn addresses_that_people_have_are_taken() {
        for text in ["ada@example.com", "a.d+a@sub.example.co", "O'Neil@xn--bcher-kva.example", " ada@example.com "] {
            assert!(EmailAddress::parse(text).is_ok(), "{text}");
        }
        assert_eq!(EmailAddress::parse("Ada@Example.COM").unwrap().folded(), "ada@example.com");
    }

    #[test]
    fn attack_look_alikes_headers_and_commands_are_no_addresses() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@@example.com",
            "ada@example.com@evil.example",
            "ada@example.com\r\nBcc: all@example.com",
            "ada@example.com\nX: y",
            "ada\0@example.com",
            "ada@example.com, eve@example.com",
            "<ada@example.com>",
            "Ada <ada@example.com>",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada(comment)@example.com",
            "ada..b@example.com",
            ".ada@example.com",
            "ada@-example.com",
            "ada@example..com",
            "ada@example.com.",
            "ada @example.com",
            // Cyrillic a, full-width a, dotless i, Kelvin sign, zero-width joiner, combining mark.
            "\u{430}da@example.com",
            "\u{ff41}da@example.com",
            "ad\u{131}@example.com",
            "\u{212a}ate@example.com",
            "a\u{200d}da@example.com",
            "ada\u{301}@example.com",
            "ada@ex\u{430}mple.com",
            "ada\u{ff20}example.com",
            &long,
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
    }
}
