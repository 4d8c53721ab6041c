//! What goes over the pipes between a host and its job: a tag, a length, and that many bytes.
//!
//! ```text
//! offset 0  tag     u8       1 said, 2 done, 3 failed
//! offset 1  length  u32 LE   at most FRAME_BYTES_MAX
//! offset 5  bytes
//! ```
//!
//! The host's first frame is the job's spec, all further ones are what the node tells it; they are all *said*. There
//! is no checksum: a pipe loses and alters nothing, but whoever is at its other end may be another program, or one
//! that prints. So tags and lengths are checked, and no more is allocated than arrives.

use std::io::{self, Read, Write};

use stormproof_contract::Bytes;

/// The longest message between a node and a job. What is larger belongs in a file.
pub(super) const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// A message on the pipe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    Said(Bytes),
    /// The job's last word.
    Done(Bytes),
    /// Why the job gave up, in UTF-8 words.
    Failed(Bytes),
}

impl Frame {
    fn parts(&self) -> (u8, &Bytes) {
        match self {
            Frame::Said(bytes) => (1, bytes),
            Frame::Done(bytes) => (2, bytes),
            Frame::Failed(bytes) => (3, bytes),
        }
    }
}

/// Writes a frame and flushes it.
pub(super) fn write(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let (tag, bytes) = frame.parts();
    let len = u32::try_from(bytes.len())
        .ok()
        .filter(|len| *len <= FRAME_BYTES_MAX)
        .ok_or_else(|| too_long(bytes.len() as u64))?;
    let mut head = [tag, 0, 0, 0, 0];
    head[1..].copy_from_slice(&len.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads a frame. `None` if the pipe ended, even in the middle of one: its writer was killed there.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    match from.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let [tag, len @ ..] = head;
    let len = u32::from_le_bytes(len);
    let frame = match tag {
        1 => Frame::Said,
        2 => Frame::Done,
        3 => Frame::Failed,
        tag => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no message begins with byte {tag}"))),
    };
    if len > FRAME_BYTES_MAX {
        return Err(too_long(u64::from(len)));
    }
    let mut bytes = Vec::new();
    from.take(u64::from(len)).read_to_end(&mut bytes)?;
    Ok((bytes.len() == len as usize).then(|| frame(bytes.into())))
}

fn too_long(len: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a message of {len} bytes: at most {FRAME_BYTES_MAX} are allowed"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        let frame =
            prop_oneof![bytes().prop_map(Frame::Said), bytes().prop_map(Frame::Done), bytes().prop_map(Frame::Failed)];
        vec(frame, 0..5)
    }

    fn written(frames: &[Frame]) -> Vec<u8> {
        let mut pipe = Vec::new();
        for frame in frames {
            write(&mut pipe, frame).expect("a vector takes all");
        }
        pipe
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_then_the_pipe_ends(frames in frames()) {
            let pipe = written(&frames);
            let mut rest = &pipe[..];
            for frame in frames {
                prop_assert_eq!(read(&mut rest).expect("well formed"), Some(frame));
            }
            prop_assert_eq!(read(&mut rest).expect("the end is no error"), None);
        }

        #[test]
        fn a_pipe_cut_anywhere_gives_whole_frames_and_then_ends(frames in frames(), cut in any::<prop::sample::Index>()) {
            let pipe = written(&frames);
            let mut rest = &pipe[..cut.index(pipe.len() + 1)];
            let mut got = Vec::new();
            while let Some(frame) = read(&mut rest).expect("a cut is no error") {
                got.push(frame);
            }
            prop_assert_eq!(&got[..], &frames[..got.len()]);
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(bytes in vec(any::<u8>(), 0..64)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = read(&mut rest) {}
        }
    }

    #[test]
    fn a_length_without_bounds_is_refused_before_anything_is_allocated() {
        let mut pipe = &[1, 0xff, 0xff, 0xff, 0xff, 0][..];
        assert_eq!(read(&mut pipe).expect_err("4 GiB").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn text_printed_into_the_pipe_is_refused() {
        let mut pipe = &b"hello, I am a job that prints"[..];
        assert_eq!(read(&mut pipe).expect_err("`h` is no tag").kind(), io::ErrorKind::InvalidData);
    }
}
