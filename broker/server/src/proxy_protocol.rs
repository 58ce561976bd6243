//! PROXY protocol, version 2: a proxy tells, before anything else, whose connection it passes on. Only the binary form; see haproxy's proxy-protocol.txt,
//! section 2.2.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of the rest.
const FIXED_BYTES: usize = SIGNATURE.len() + 4;
/// What comes behind: addresses, and fields that nobody here reads. Far more than any proxy sends.
const REST_BYTES_MAX: usize = 2048;

/// Why a proxy's header can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The connection ended, or broke.
    #[error("lost: {0}")]
    Lost(#[from] io::Error),
    /// What came first is something else.
    #[error("it does not begin with the signature of version 2")]
    Signature,
    /// The byte of version and command.
    #[error("version and command {0:#04x} are unknown")]
    Command(u8),
    /// The byte of address family and transport protocol.
    #[error("address family and protocol {0:#04x} are not TCP")]
    Family(u8),
    /// Its length, bytes.
    #[error("{0} bytes are too many")]
    TooLong(usize),
    /// There is less than the addresses of its family take.
    #[error("it ends within the addresses")]
    TooShort,
}

/// Reads the header, and not a byte behind it. `None` when the connection is the proxy's own: it looks whether anybody is there.
///
/// # Errors
/// What came is no header of version 2, or the connection ended before.
pub async fn receive_proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyError> {
    let mut fixed = [0; FIXED_BYTES];
    // The signature first: who sends something else may send less.
    let (signature, rest) = fixed.split_at_mut(SIGNATURE.len());
    stream.read_exact(signature).await?;
    if *signature != SIGNATURE {
        return Err(ProxyError::Signature);
    }
    stream.read_exact(rest).await?;
    let [.., command, family, length_high, length_low] = fixed;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if length > REST_BYTES_MAX {
        return Err(ProxyError::TooLong(length));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match command {
        0x20 => Ok(None),
        0x21 => source(family, &rest).map(Some),
        other => Err(ProxyError::Command(other)),
    }
}

/// Who connected to the proxy. Behind both addresses and both ports come fields that are skipped.
fn source(family: u8, rest: &[u8]) -> Result<SocketAddr, ProxyError> {
    let (source, port) = match family {
        0x11 => (rest.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)), rest.get(8..12)),
        0x21 => (rest.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)), rest.get(32..36)),
        other => return Err(ProxyError::Family(other)),
    };
    match (source, port) {
        (Some(source), Some([high, low, ..])) => Ok(SocketAddr::new(source, u16::from_be_bytes([*high, *low]))),
        _ => Err(ProxyError::TooShort),
    }
}

/// A range of addresses: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address that is written as an IPv6 one counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differs = match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(v4)) => u128::from(network.to_bits() ^ v4.to_bits()) << 96,
            (IpAddr::V6(network), IpAddr::V6(v6)) => network.to_bits() ^ v6.to_bits(),
            _ => return false,
        };
        differs.leading_zeros() >= u32::from(self.prefix_bits)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError { text: text.to_owned() };
        let (address, prefix_bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix_bits.map_or(Ok(bits_max), |bits| bits.parse().map_err(|_| error()))?;
        if prefix_bits > bits_max { Err(error()) } else { Ok(Self { address, prefix_bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a range of addresses such as \"10.0.0.0/8\", got {text:?}")]
pub struct NetworkError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a header, and how many bytes behind it are left.
    fn check(command: u8, family: u8, rest: &[u8], expected: Result<Option<&str>, &str>) {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes.extend(b"mqtt");
        let mut stream = bytes.as_slice();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let received = runtime.block_on(receive_proxy_header(&mut stream));
        match (received, expected) {
            (Ok(source), Ok(expected)) => {
                assert_eq!(source, expected.map(|text| text.parse().unwrap()));
                assert_eq!(stream, b"mqtt");
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected),
            (received, expected) => panic!("{received:?} instead of {expected:?}"),
        }
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[test]
    fn the_source_is_read_and_further_fields_are_skipped() {
        let mut v6 = vec![0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        v6.extend([0; 16]);
        v6.extend([0, 7, 0, 80]);
        check(0x21, 0x11, &V4, Ok(Some("192.0.2.1:4660")));
        check(0x21, 0x11, &[V4.as_slice(), &[4, 0, 1, 9]].concat(), Ok(Some("192.0.2.1:4660")));
        check(0x21, 0x21, &v6, Ok(Some("[2001:db8::1]:7")));
        check(0x20, 0x00, &[], Ok(None));
        check(0x20, 0x11, &V4, Ok(None));
    }

    #[test]
    fn what_is_no_header_is_refused_with_its_reason() {
        check(0x21, 0x11, &V4[..11], Err("it ends within the addresses"));
        check(0x21, 0x21, &V4, Err("it ends within the addresses"));
        check(0x21, 0x31, &[0; 216], Err("address family and protocol 0x31 are not TCP"));
        check(0x21, 0x12, &V4, Err("address family and protocol 0x12 are not TCP"));
        check(0x11, 0x11, &V4, Err("version and command 0x11 are unknown"));
        check(0x21, 0x11, &[0; 2049], Err("2049 bytes are too many"));
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/x", "::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
