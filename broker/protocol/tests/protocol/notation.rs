//! A notation for packets that people can read: hex; `"text"` is a string with its two-byte length; `[ ]` puts a variable byte integer with the
//! length of its content before it.

use mooring_protocol::Version;

pub(crate) fn bytes(notation: &str) -> Vec<u8> {
    let mut open: Vec<Vec<u8>> = vec![Vec::new()];
    let mut rest = notation.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '[' => {
                open.push(Vec::new());
                1
            }
            ']' => {
                let content = open.pop().unwrap();
                let outer = open.last_mut().expect("a ] without [");
                outer.extend(var_int(content.len()));
                outer.extend(content);
                1
            }
            '"' => {
                let end = rest[1..].find('"').expect("a string without end") + 1;
                let text = &rest[1..end];
                let outer = open.last_mut().unwrap();
                outer.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                outer.extend(text.bytes());
                end + 1
            }
            _ => {
                open.last_mut().unwrap().push(u8::from_str_radix(&rest[..2], 16).expect("hex"));
                2
            }
        };
        rest = rest[len..].trim_start();
    }
    assert_eq!(open.len(), 1, "a [ without ] in {notation}");
    open.pop().unwrap()
}

pub(crate) fn version(name: &str) -> Version {
    match name {
        "v31" => Version::V3_1,
        "v311" => Version::V3_1_1,
        "v5" => Version::V5,
        other => panic!("no version {other}"),
    }
}

fn var_int(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return bytes;
        }
    }
}
