//! Views and queries: how the toy reads while it writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stormproof_contract::{Bytes, DiskResult, File, Query, Reader, Reads};

use super::{Op, Reply, snapshot};

/// The lists at one moment.
#[derive(Default)]
pub(super) struct View {
    /// Where the lists are that are not in `changed`; none are, where there is no snapshot.
    pub(super) snapshot: Option<Arc<dyn File>>,
    /// The lists that differ from the snapshot. An empty one hides what the snapshot says.
    pub(super) changed: BTreeMap<u64, Vec<u64>>,
}

/// Where the newest view hangs.
#[derive(Default)]
pub(super) struct Board(Mutex<Arc<View>>);

impl Board {
    pub(super) fn publish(&self, view: View) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    fn newest(&self) -> Arc<View> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reader<Op, Reply> for Board {
    fn start(&self, op: &Op) -> Option<Box<dyn Query<Reply>>> {
        match op {
            Op::Get { key } => Some(Box::new(Get { key: *key, view: self.newest(), step: Step::Memory })),
            Op::Append { .. } | Op::Delete { .. } => None,
        }
    }
}

/// The head of a frame: its checksum and its length.
const HEAD_BYTES: usize = 8;

struct Get {
    key: u64,
    view: Arc<View>,
    step: Step,
}

/// What the query does next.
enum Step {
    Memory,
    Head,
    Body { frame_bytes: usize },
}

impl Query<Reply> for Get {
    fn step(&mut self, io: &mut Reads) -> Option<Reply> {
        match self.step {
            Step::Memory => {
                let view = Arc::clone(&self.view);
                let (Some(file), None) = (&view.snapshot, view.changed.get(&self.key)) else {
                    return Some(Reply::List(view.changed.get(&self.key).cloned().unwrap_or_default()));
                };
                io.want(file, 0, HEAD_BYTES);
                self.step = Step::Head;
                None
            }
            Step::Head => match read(io, HEAD_BYTES) {
                Ok(head) => {
                    let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
                    let frame_bytes = HEAD_BYTES + len as usize;
                    if let Some(file) = &self.view.snapshot {
                        io.want(file, 0, frame_bytes);
                    }
                    self.step = Step::Body { frame_bytes };
                    None
                }
                Err(reply) => Some(reply),
            },
            Step::Body { frame_bytes } => Some(read(io, frame_bytes).map_or_else(
                |reply| reply,
                |bytes| match snapshot::decode(&bytes) {
                    Some((_, state)) => Reply::List(state.list(self.key)),
                    None => Reply::Damaged,
                },
            )),
        }
    }
}

/// The one read that was asked for, or how the query ends without it.
fn read(io: &mut Reads, wanted: usize) -> Result<Bytes, Reply> {
    let got: Option<DiskResult<Bytes>> = io.take().into_iter().next();
    match got {
        Some(Ok(bytes)) if bytes.len() == wanted => Ok(bytes),
        Some(Ok(_)) | None => Err(Reply::CutShort),
        Some(Err(_)) => Err(Reply::Unavailable),
    }
}
