//! What goes over the pipes between the real lane and the engine's process: a length and that many bytes of JSON.
//!
//! ```text
//! offset 0  length  u32 LE   at most MESSAGE_BYTES_MAX
//! offset 4  JSON
//! ```
//!
//! A pipe loses and alters nothing, so there is no checksum; but the process at its other end is there to be killed, so
//! a message that is cut off is an end like any other. No more is allocated than arrives.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stormproof_engine::memory::{
    ArchiveRules, Config, Facts, GraphRules, L1Persist, Ledger, LedgerConfig, LogFormat, MergeRules, Metric, Op, Reply,
};

/// The longest message: the facts of some ten thousand records.
const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// How the engine is set up: the same for all lives of a directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setup {
    pub(super) dim: usize,
    pub(super) metric: Metric,
    pub(super) log_format: LogFormat,
    pub(super) log_file_bytes: u64,
    pub(super) l1_persist: L1Persist,
    pub(super) flush_records: usize,
    pub(super) merge_run_min: usize,
    /// Whether clients ask for rebuilds of the archive.
    pub(super) rebuilds: bool,
    /// Foreign managers, all of them ledgers.
    pub(super) managers: Vec<String>,
    pub(super) ledger: LedgerConfig,
    /// How many clients may ask at a time.
    pub(super) clients: usize,
}

impl Setup {
    pub(super) fn config(&self) -> Config {
        let names: Vec<&str> = self.managers.iter().map(String::as_str).collect();
        Config {
            dim: self.dim,
            metric: self.metric,
            log_format: self.log_format,
            log_file_bytes: self.log_file_bytes,
            l1_persist: self.l1_persist,
            managers: Ledger::managers(&names, self.ledger),
            flush_records: self.flush_records,
            compaction: MergeRules { run_min: self.merge_run_min, tombstones_percent: 20 },
            archive: ArchiveRules {
                graph: GraphRules { degree: 6, complexity: 16, ..GraphRules::default() },
                search_complexity: 16,
                // So few links over vectors from chance find what they find.
                recall_min_percent: 0,
                ..ArchiveRules::default()
            },
            inspectable: true,
            ..Config::default()
        }
    }
}

/// What the engine's process is asked. The end of the pipe asks it to stop.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// The first message: open the node.
    Open(Setup),
    /// An attempt at an operation. A client waits for its answer before it asks again.
    Attempt { client: usize, op_id: u64, attempt: u32, op: Op },
    /// Everything that the node knows.
    Inspect,
}

/// What the engine's process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Say {
    /// The node is open.
    Opened,
    /// The node was not opened, in these words. The last message.
    Refused(String),
    /// To a client.
    Answer { client: usize, answer: Answer },
    /// To `Inspect`. A node that has stopped knows nothing any more.
    Facts(Option<Box<Facts>>),
    /// The node noted something.
    Noted { name: String, values: Vec<(String, u64)> },
    /// The node stopped, in this way.
    Stopped(How),
}

/// What came of an attempt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Reply(Reply),
    /// The node stopped with the attempt in its hands.
    Unknown,
    /// The node had stopped before.
    Closed,
}

/// How a node stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    Asked,
    Halted(String),
    Panicked(String),
}

/// Writes a message and flushes it.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let len = u32::try_from(bytes.len() - 4).ok().filter(|len| *len <= MESSAGE_BYTES_MAX);
    let len = len.ok_or_else(|| malformed(format!("a message of {} bytes is too long", bytes.len() - 4)))?;
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads a message; `None` if the pipe ended, even in the middle of one.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let len = u32::from_le_bytes(len);
    if len > MESSAGE_BYTES_MAX {
        return Err(malformed(format!("a message of {len} bytes: at most {MESSAGE_BYTES_MAX} are allowed")));
    }
    let mut bytes = Vec::new();
    from.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() < len as usize {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| malformed(e.to_string()))
}

fn malformed(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use stormproof_engine::memory::{Draft, RecordId, RetryId, Transaction};

    use super::*;

    fn commit(vector: Vec<f32>) -> Ask {
        let draft = Draft { text: "c1.2".into(), kappa: 0.5, ..Draft::new(RecordId(7), vector) };
        let (inserts, deletes) = (vec![draft], vec![RecordId(u64::MAX)]);
        let transaction = Transaction { inserts, deletes, ..Transaction::new(RetryId(u128::MAX - 1)) };
        Ask::Attempt { client: 3, op_id: 5, attempt: 1, op: Op::Commit(transaction) }
    }

    #[test]
    fn floats_and_wide_ids_arrive_to_the_last_bit() {
        let sent = commit(vec![0.1, -0.0, f32::MIN_POSITIVE, 1.0e16, 0.333_333_34, 16_777_217.0]);
        let mut pipe = Vec::new();
        write(&mut pipe, &sent).expect("a vector takes all");
        let got: Ask = read(&mut &pipe[..]).expect("well formed").expect("whole");
        assert_eq!(format!("{got:?}"), format!("{sent:?}"));
    }

    #[test]
    fn a_message_cut_off_anywhere_is_the_end_of_the_pipe() {
        let mut pipe = Vec::new();
        write(&mut pipe, &commit(vec![1.0])).expect("a vector takes all");
        for cut in 0..pipe.len() {
            assert!(read::<Ask>(&mut &pipe[..cut]).expect("a cut is no error").is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_without_bounds_is_refused_before_anything_is_allocated() {
        let error = read::<Ask>(&mut &[0xff, 0xff, 0xff, 0xff, b'{'][..]).expect_err("4 GiB");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn text_that_is_no_message_is_refused() {
        let error = read::<Ask>(&mut &b"\x05\0\0\0hello"[..]).expect_err("not JSON");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
