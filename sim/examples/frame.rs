//! A frame: how the reference systems put words on disks and on wires.
//!
//! ```text
//! u32  CRC-32C of all that follows
//! u32  bytes of payload
//! u64  payload, one word after another, little-endian
//! ```
//! The checksum covers the length, so a run of zeros (which a disk may leave where a file grew and its bytes were
//! lost) is not a valid frame, and no length is believed before it was checked against the bytes that are there.

const HEAD_BYTES: usize = 8;

/// Wraps words in a frame.
pub fn seal(words: &[u64]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend((words.len() as u32 * 8).to_le_bytes());
    frame.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// Opens the frame at the start of `bytes`: its words, and how many bytes it took. `None` if none stands there whole.
pub fn unseal(bytes: &[u8]) -> Option<(Vec<u64>, usize)> {
    let (crc, rest) = bytes.split_first_chunk()?;
    let len = u32::from_le_bytes(*rest.first_chunk()?) as usize;
    let frame_bytes = HEAD_BYTES.checked_add(len)?;
    let covered = bytes.get(4..frame_bytes)?;
    let whole = crc32c::crc32c(covered) == u32::from_le_bytes(*crc) && len.is_multiple_of(8);
    whole.then(|| (words(&covered[4..]), frame_bytes))
}

/// Every whole word of a payload.
pub fn words(payload: &[u8]) -> Vec<u64> {
    payload.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_is_unsealed_whatever_follows(payload: Vec<u64>, after: Vec<u8>) {
            let mut bytes = seal(&payload);
            let frame_bytes = bytes.len();
            bytes.extend(after);
            prop_assert_eq!(unseal(&bytes), Some((payload, frame_bytes)));
        }

        #[test]
        fn a_flipped_bit_or_a_lost_end_is_noticed(payload: Vec<u64>, at: prop::sample::Index, bit in 0..8u8) {
            let whole = seal(&payload);
            let mut flipped = whole.clone();
            flipped[at.index(whole.len())] ^= 1 << bit;
            prop_assert_eq!(unseal(&flipped), None);
            prop_assert_eq!(unseal(&whole[..at.index(whole.len())]), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = unseal(&bytes);
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(unseal(&[0; 64]), None);
    }
}
