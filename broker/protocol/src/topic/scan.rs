//! Looking for the characters that a topic name may not have, eight bytes at a time: every message passes here.

/// Whether there is a NUL, `+` or `#`.
pub(super) fn has_reserved(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    if words.iter().any(|word| word_has_reserved(*word)) {
        return true;
    }
    match text.last_chunk::<8>() {
        // The last eight bytes again are faster than up to seven one by one.
        Some(last) => !rest.is_empty() && word_has_reserved(*last),
        None => rest.iter().any(|byte| matches!(byte, 0 | b'+' | b'#')),
    }
}

fn word_has_reserved(bytes: [u8; 8]) -> bool {
    const HASH: u64 = every(b'#');
    const NOT_DIFFERENCE: u64 = every(!(b'#' ^ b'+'));
    let word = u64::from_le_bytes(bytes);
    // `+` and `#` differ in one bit: without it, both are zero against `#`.
    has_zero(word) | has_zero((word & NOT_DIFFERENCE) ^ HASH)
}

/// Whether one of the eight bytes is 0: only then does subtracting 1 from each borrow into a high bit that was not set.
const fn has_zero(word: u64) -> bool {
    word.wrapping_sub(every(0x01)) & !word & every(0x80) != 0
}

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::has_reserved;
    use alloc::vec;

    #[test]
    fn each_byte_in_each_place_is_judged_as_one_by_one() {
        for len in 0..26 {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; len];
                    text[place] = byte;
                    assert_eq!(has_reserved(&text), [0, b'+', b'#'].contains(&byte), "{byte} at {place} of {len}");
                }
            }
        }
    }
}
