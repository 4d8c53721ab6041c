//! Making a generation, as a job: reads segments that do not change, and writes one file that nobody else writes.
//!
//! 1. **Copying**: of each record that counts in the segments, the vector goes into the file, and into a survey of how vectors
//!    are spread. A group of each segment is in memory at a time.
//! 2. **Coding**: the rows are read back, their checksums compared, and made into codes, which stay in memory. Meanwhile each is
//!    compared with some of the records, which are the questions of step 4: so it is known what an exact search answers.
//! 3. **Linking**: the graph is built from the codes.
//! 4. **Asking**: the graph is asked those questions, and the share of right answers is what the node is told.
//! 5. **Writing**: the body goes behind the rows; the file is synced, with its name.
//!
//! Before the first step it says an empty word: it has all of its files open, and they may be removed. A job that dies on the way
//! leaves a file that nothing names; one that outlives its node writes on into a file whose number nobody else is ever given.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Bytes, Disk, Job, JobError, JobStep, Pool};

use crate::{
    ids::{Lsn, RecordId, Version},
    memory::{config::KernelChoice, recover::foreign_vector},
    store::{
        Entry, StoreError, StoreResult,
        archive::{GenerationName, GenerationNo, GenerationWriter, GraphFacts, RowFormat},
        compact::{Entries, Sources},
        segment::DIRECTORY,
    },
    vector::{
        FlatIndex, Hit, Kernels, Shape,
        graph::{Builder, Codec, Codes, Graph, GraphRules, GraphSearch, Survey},
    },
};

/// The first byte of a spec: what kind of job it is.
const BUILD: u8 = 3;
/// How many of the nearest a question is about.
const QUESTION_K: usize = 10;
/// The bytes of the pieces that codes come in.
const PIECE_BYTES: usize = 64;
/// How many rows are compared with the questions at a time.
const ROWS: usize = 1024;

/// What a job is to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Task {
    /// What it reads.
    pub(super) sources: Sources,
    pub(super) plan: Plan,
}

/// How it does it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) no: GenerationNo,
    /// How many records there are, about.
    pub(super) records: u64,
    /// The frame that the sources are as of.
    pub(super) built: Lsn,
    pub(super) shape: Shape,
    pub(super) kernels: KernelChoice,
    pub(super) graph: GraphRules,
    pub(super) rows: RowFormat,
    pub(super) questions: u32,
    /// How many candidates a search keeps that is asked one.
    pub(super) complexity: u32,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// The generation is whole and durable.
    Made {
        name: GenerationName,
        /// Right answers to its questions, in ten thousandths; 10,000 if there was no question.
        recall: u32,
    },
    /// A source cannot be believed; in words, with file and offset. Trying again will not help.
    Damaged(Box<str>),
    /// The rows of a generation have no room for a record's vector.
    Unfit {
        /// Whose.
        id: RecordId,
        /// In words.
        why: Box<str>,
    },
}

impl Task {
    pub(super) fn spec(&self) -> Vec<u8> {
        let mut out = vec![BUILD];
        self.sources.encode(&mut out);
        out.extend(serde_json::to_vec(&self.plan).expect("numbers: nothing can fail in memory"));
        out
    }

    fn decode(spec: &[u8]) -> Option<Task> {
        let (_, rest) = spec.split_first().filter(|(kind, _)| **kind == BUILD)?;
        let (sources, rest) = Sources::decode(rest)?;
        Some(Task { sources, plan: serde_json::from_slice(rest).ok()? })
    }
}

impl Outcome {
    fn word(&self) -> Bytes {
        serde_json::to_vec(self).expect("numbers and a text: nothing can fail in memory").into()
    }

    /// What a job's last word says; `None` if it is none.
    pub(super) fn of_word(word: &[u8]) -> Option<Outcome> {
        serde_json::from_slice(word).ok()
    }
}

/// How far a job is: in which of the five steps, and how many of its records, or questions, are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) step: u8,
    pub(super) done: u64,
    pub(super) of: u64,
}

impl Progress {
    /// What it tells its node, in so many parts of each step.
    const PARTS: u64 = 16;

    /// What a word of a job says; `None` if it is none, such as the first.
    pub(super) fn of_word(word: &[u8]) -> Option<Progress> {
        serde_json::from_slice(word).ok()
    }

    fn part(self) -> (u8, u64) {
        (self.step, self.done * Self::PARTS / self.of.max(1))
    }
}

/// A generation on its way. See the file's description.
pub(in crate::memory) struct BuildJob {
    plan: Plan,
    at: At,
    /// What it has told its node last.
    told: (u8, u64),
}

enum At {
    Begin(Sources),
    Copying { entries: Entries, writer: GenerationWriter, survey: Survey },
    Coding(Box<Coding>),
    Linking { made: Made, builder: Box<Builder> },
    Asking { made: Made, graph: Arc<Graph>, next: usize, right: usize },
    Writing { made: Made, graph: Arc<Graph>, next: usize, recall: u32 },
    Ended,
}

/// What there is of it beside the graph.
struct Made {
    writer: GenerationWriter,
    codec: Codec,
    questions: Vec<Question>,
}

struct Coding {
    writer: GenerationWriter,
    codec: Codec,
    codes: Codes,
    questions: Vec<Question>,
    next: usize,
}

/// A record's vector, and the nodes nearest to it but for its own.
struct Question {
    node: usize,
    vector: Vec<f32>,
    nearest: Vec<Hit>,
}

impl BuildJob {
    /// The job of a spec, if it is of this kind.
    pub(in crate::memory) fn revive(spec: &[u8]) -> Option<BuildJob> {
        let Task { sources, plan } = Task::decode(spec)?;
        Some(BuildJob { plan, at: At::Begin(sources), told: (0, 0) })
    }

    fn go_on(&mut self, disk: &Arc<dyn Disk>, pool: &dyn Pool, units: usize) -> StoreResult<JobStep> {
        let plan = self.plan;
        let kernels = plan.kernels.kernels();
        self.at = match std::mem::replace(&mut self.at, At::Ended) {
            At::Begin(sources) => {
                let entries = Entries::open(&**disk, &sources)?;
                let writer = GenerationWriter::create(disk, sources.log, plan.no, sources.components, plan.rows)?;
                self.at = At::Copying { entries, writer, survey: Survey::new(plan.shape) };
                return Ok(JobStep::Say(Bytes::default()));
            }
            At::Copying { mut entries, mut writer, mut survey } => {
                match copy(&mut entries, &mut writer, &mut survey, plan.rows, units)? {
                    Copied::More => At::Copying { entries, writer, survey },
                    Copied::All => {
                        writer.end_rows()?;
                        At::Coding(Box::new(Coding::new(writer, survey.finish(), &plan)?))
                    }
                    Copied::Not(unfit) => return Ok(JobStep::Done(unfit.word())),
                }
            }
            At::Coding(mut coding) => {
                if coding.go_on(plan.shape, kernels, pool, units)? {
                    At::Coding(coding)
                } else {
                    let Coding { writer, codec, codes, questions, .. } = *coding;
                    let builder = Builder::new(codes, plan.graph, kernels).expect("the rules were checked at boot");
                    At::Linking { made: Made { writer, codec, questions }, builder: Box::new(builder) }
                }
            }
            At::Linking { made, mut builder } => {
                if builder.step(units as u32, pool) {
                    At::Asking { made, graph: Arc::new(builder.finish()), next: 0, right: 0 }
                } else {
                    At::Linking { made, builder }
                }
            }
            At::Asking { mut made, graph, next, right } => {
                if let Some(question) = made.questions.get(next) {
                    let right = right + question.ask(&graph, &made, plan.complexity as usize, kernels)?;
                    At::Asking { made, graph, next: next + 1, right }
                } else {
                    let asked: usize = made.questions.iter().map(|question| question.nearest.len()).sum();
                    let recall = (right * 10_000).checked_div(asked).unwrap_or(10_000) as u32;
                    made.writer.push_codec(&made.codec.to_bytes())?;
                    At::Writing { made, graph, next: 0, recall }
                }
            }
            At::Writing { mut made, graph, next, recall } => {
                let end = made.writer.rows().min(next + units);
                made.write_nodes(&graph, next..end)?;
                if end < made.writer.rows() {
                    At::Writing { made, graph, next: end, recall }
                } else {
                    let name = made.finish(&graph, plan.built)?;
                    return Ok(JobStep::Done(Outcome::Made { name, recall }.word()));
                }
            }
            At::Ended => panic!("a job is not stepped after its end"),
        };
        Ok(self.progress())
    }
}

impl BuildJob {
    /// Tells how far it is, where it has come some way.
    fn progress(&mut self) -> JobStep {
        let (step, done, of) = match &self.at {
            At::Begin(_) | At::Ended => return JobStep::More,
            At::Copying { writer, .. } => (1, writer.rows(), self.plan.records as usize),
            At::Coding(coding) => (2, coding.next, coding.writer.rows()),
            At::Linking { builder, .. } => {
                let (done, of) = builder.progress();
                (3, done, of)
            }
            At::Asking { made, next, .. } => (4, *next, made.questions.len()),
            At::Writing { made, next, .. } => (5, *next, made.writer.rows()),
        };
        let now = Progress { step, done: done as u64, of: of as u64 };
        if now.part() == self.told {
            return JobStep::More;
        }
        self.told = now.part();
        JobStep::Say(serde_json::to_vec(&now).expect("numbers: nothing can fail in memory").into())
    }
}

/// What came of copying some vectors.
enum Copied {
    More,
    All,
    Not(Outcome),
}

/// Copies the vectors of the next records.
fn copy(
    entries: &mut Entries,
    writer: &mut GenerationWriter,
    survey: &mut Survey,
    rows: RowFormat,
    units: usize,
) -> StoreResult<Copied> {
    for _ in 0..units {
        let Some((id, entry)) = entries.next()? else { return Ok(Copied::All) };
        if let Entry::Live(record) = entry {
            // A boot does not look at the vectors of all segments.
            match survey.add(&rows.rounded(&record.vector)) {
                Ok(()) => {}
                Err(error) if rows.is_exact() => return Err(foreign_vector(DIRECTORY.into(), 0, id, error)),
                Err(error) => {
                    let why = format!("rounded to 16 bits it is none: {error}; archive.rows has to be f32").into();
                    return Ok(Copied::Not(Outcome::Unfit { id, why }));
                }
            }
            writer.push(id, record.version, &record.vector)?;
        }
    }
    Ok(Copied::More)
}

impl Made {
    fn write_nodes(&mut self, graph: &Graph, nodes: Range<usize>) -> StoreResult<()> {
        let (code_bytes, degree) = (graph.codes().bytes_per_code(), graph.degree() as usize);
        let pieces = code_bytes / PIECE_BYTES;
        let mut all = graph.codes().pieces().skip(nodes.start * pieces);
        let mut code = Vec::with_capacity(code_bytes);
        for node in nodes {
            code.clear();
            all.by_ref().take(pieces).for_each(|piece| code.extend_from_slice(piece));
            self.writer.push_node(node, &code, &graph.links()[node * degree..][..degree])?;
        }
        Ok(())
    }

    fn finish(self, graph: &Graph, built: Lsn) -> StoreResult<GenerationName> {
        let facts = GraphFacts {
            degree: graph.degree(),
            entry: graph.entry().unwrap_or(0),
            codec_bytes: self.codec.to_bytes().len() as u32,
            code_bytes: graph.codes().bytes_per_code() as u32,
        };
        self.writer.finish(built, facts)
    }
}

impl Coding {
    fn new(writer: GenerationWriter, codec: Codec, plan: &Plan) -> StoreResult<Coding> {
        let rows = writer.rows();
        let asked = rows.min(plan.questions as usize);
        let mut questions = Vec::with_capacity(asked);
        for n in 0..asked {
            let (node, mut vector) = (n * rows / asked, Vec::new());
            writer.read_rows(node, 1, &mut vector)?;
            questions.push(Question { node, vector, nearest: Vec::new() });
        }
        let mut codes = codec.codes();
        codes.reserve_exact(rows);
        Ok(Coding { writer, codec, codes, questions, next: 0 })
    }

    /// Makes the next rows into codes; false once there are no more.
    fn go_on(&mut self, shape: Shape, kernels: Kernels, pool: &dyn Pool, units: usize) -> StoreResult<bool> {
        let (mut rows, from) = (Vec::new(), self.next);
        self.writer.read_rows(from, units.clamp(1, ROWS), &mut rows)?;
        if rows.is_empty() {
            return Ok(false);
        }
        let rows: Vec<&[f32]> = rows.chunks_exact(shape.dim.get()).collect();
        for row in &rows {
            let coded = self.codec.encode(row, &mut self.codes);
            assert!(coded.is_ok(), "the survey has seen it: {coded:?}");
        }
        self.next += rows.len();
        if !self.questions.is_empty() {
            self.compare(&rows, from, shape, kernels, pool);
        }
        Ok(true)
    }

    /// Compares rows, of which the first is that of node `from`, with each question.
    fn compare(&mut self, rows: &[&[f32]], from: usize, shape: Shape, kernels: Kernels, pool: &dyn Pool) {
        let mut index = FlatIndex::new(shape, kernels);
        for (place, row) in rows.iter().enumerate() {
            let put = index.upsert(RecordId((from + place) as u64), Version(0), row);
            assert!(put.is_ok(), "segments hold what the index took: {put:?}");
        }
        let questions: Vec<_> = self.questions.iter_mut().map(Mutex::new).collect();
        pool.run(questions.len(), &|n| {
            let mut question = questions[n].lock().unwrap_or_else(PoisonError::into_inner);
            question.compare(&index);
        });
    }
}

impl Question {
    fn compare(&mut self, index: &FlatIndex) {
        let own = RecordId(self.node as u64);
        let found = index.search_where(&self.vector, QUESTION_K, |id, _| id != own);
        self.nearest.extend(found.expect("a row is a vector that the index takes"));
        self.nearest.sort_by(|one, other| one.distance.total_cmp(&other.distance).then(one.id.cmp(&other.id)));
        self.nearest.truncate(QUESTION_K);
    }

    /// How many the graph finds that are as near as the nearest, of those among the candidates of a search whose vectors say so.
    fn ask(&self, graph: &Arc<Graph>, made: &Made, complexity: usize, kernels: Kernels) -> StoreResult<usize> {
        let Some(worst) = self.nearest.last() else { return Ok(0) };
        let query = made.codec.query(&self.vector).expect("a row is a vector that the index takes");
        let mut search = GraphSearch::new(Arc::clone(graph), query, complexity.max(QUESTION_K + 1));
        while !search.step(usize::MAX) {}
        let (mut found, mut row) = (0, Vec::new());
        for candidate in search.finish() {
            let node = candidate.node as usize;
            if node == self.node {
                continue;
            }
            made.writer.read_rows(node, 1, &mut row)?;
            let distance = made.codec.shape().distance(kernels, &row, &self.vector);
            found += usize::from(distance.expect("rows are vectors that the index takes") <= worst.distance);
        }
        Ok(found.min(self.nearest.len()))
    }
}

impl Job for BuildJob {
    /// A unit is a record.
    fn step(
        &mut self,
        _: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        pool: &dyn Pool,
        units: u32,
    ) -> Result<JobStep, JobError> {
        let copying = matches!(self.at, At::Begin(_) | At::Copying { .. });
        match self.go_on(disk, pool, units as usize) {
            Ok(step) => Ok(step),
            Err(StoreError::Disk(error)) => Err(error.into()),
            Err(error) if copying => Ok(JobStep::Done(Outcome::Damaged(error.to_string().into()).word())),
            // The sources are as good as they were: another try may go well.
            Err(error) => Err(JobError::Failed(error.to_string().into())),
        }
    }
}

impl fmt::Debug for BuildJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildJob").field("plan", &self.plan).finish_non_exhaustive()
    }
}
