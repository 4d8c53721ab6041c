//! Making a generation, as a job: reads segments that do not change, and writes one file that nobody else writes.
//!
//! 1. **Copying**: of each record that counts in the segments, the vector goes into the file, and into a survey of how vectors
//!    are spread. A group of each segment is in memory at a time. Some of the records are the questions of step 4.
//! 2. **Coding**: the rows are read back, their checksums compared, and made into codes, which stay in memory; where rows are rounded,
//!    the segments are read once more for it, so that the graph is the same. Meanwhile each is compared with the questions: so it is
//!    known what an exact search answers.
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
    Copying(Box<Copying>),
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

struct Copying {
    entries: Entries,
    /// The same from the beginning, where rows are rounded.
    again: Option<Entries>,
    writer: GenerationWriter,
    survey: Survey,
    questions: Vec<Question>,
}

struct Coding {
    again: Option<Entries>,
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
                self.at = At::Copying(Box::new(Copying::new(disk, &sources, &plan)?));
                return Ok(JobStep::Say(Bytes::default()));
            }
            At::Copying(mut copying) => match copying.go_on(&plan, units)? {
                Copied::More => At::Copying(copying),
                Copied::All => At::Coding(Box::new(Coding::new(*copying))),
                Copied::Not(unfit) => return Ok(JobStep::Done(unfit.word())),
            },
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
                    let right = right + question.ask(&graph, &made, &plan, kernels)?;
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
            At::Copying(copying) => (1, copying.writer.rows(), self.plan.records as usize),
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

impl Copying {
    fn new(disk: &Arc<dyn Disk>, sources: &Sources, plan: &Plan) -> StoreResult<Copying> {
        Ok(Copying {
            entries: Entries::open(&**disk, sources)?,
            again: if plan.rows.is_exact() { None } else { Some(Entries::open(&**disk, sources)?) },
            writer: GenerationWriter::create(disk, sources.log, plan.no, sources.components, plan.rows)?,
            survey: Survey::new(plan.shape),
            questions: Vec::new(),
        })
    }

    /// Copies the vectors of the next records.
    fn go_on(&mut self, plan: &Plan, units: usize) -> StoreResult<Copied> {
        for _ in 0..units {
            let Some((id, entry)) = self.entries.next()? else {
                self.writer.end_rows()?;
                return Ok(Copied::All);
            };
            let Entry::Live(record) = entry else { continue };
            // A boot does not look at the vectors of all segments.
            let added = self.survey.add(&record.vector);
            added.map_err(|error| foreign_vector(DIRECTORY.into(), 0, id, error))?;
            if let Err(error) = plan.shape.check(&plan.rows.rounded(&record.vector)) {
                let why = format!("rounded to 16 bits it is none: {error}; archive.rows has to be f32").into();
                return Ok(Copied::Not(Outcome::Unfit { id, why }));
            }
            self.choose(plan, &record.vector);
            self.writer.push(id, record.version, &record.vector)?;
        }
        Ok(Copied::More)
    }

    /// Makes the vector that is the next row's a question, if it is its turn: about as many as are wanted, evenly.
    fn choose(&mut self, plan: &Plan, vector: &[f32]) {
        let (node, wanted) = (self.writer.rows(), plan.questions as usize);
        let every = (plan.records as usize / wanted.max(1)).max(1);
        if self.questions.len() < wanted && node.is_multiple_of(every) {
            self.questions.push(Question { node, vector: vector.to_vec(), nearest: Vec::new() });
        }
    }
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
    fn new(copied: Copying) -> Coding {
        let Copying { again, writer, survey, questions, .. } = copied;
        let codec = survey.finish();
        let mut codes = codec.codes();
        codes.reserve_exact(writer.rows());
        Coding { again, writer, codec, codes, questions, next: 0 }
    }

    /// Makes the next rows into codes; false once there are no more.
    fn go_on(&mut self, shape: Shape, kernels: Kernels, pool: &dyn Pool, units: usize) -> StoreResult<bool> {
        let (mut rows, from) = (Vec::new(), self.next);
        self.read(units.clamp(1, ROWS), &mut rows)?;
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

    /// Reads the vectors of the next rows. Rows are compared with their checksums even if they are not what is asked for.
    fn read(&mut self, max: usize, vectors: &mut Vec<f32>) -> StoreResult<()> {
        self.writer.read_rows(self.next, max, vectors)?;
        let Some(entries) = &mut self.again else { return Ok(()) };
        let components = vectors.len();
        vectors.clear();
        while vectors.len() < components {
            let (_, entry) = entries.next()?.expect("a segment does not change, and these were read before");
            if let Entry::Live(record) = entry {
                vectors.extend_from_slice(&record.vector);
            }
        }
        Ok(())
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

    /// How many the graph finds that are as near as the nearest, of those among the candidates of a search whose rows say so, or that
    /// they may be, if they are rounded.
    fn ask(&self, graph: &Arc<Graph>, made: &Made, plan: &Plan, kernels: Kernels) -> StoreResult<usize> {
        let Some(worst) = self.nearest.last() else { return Ok(0) };
        let query = made.codec.query(&self.vector).expect("a row is a vector that the index takes");
        let mut search = GraphSearch::new(Arc::clone(graph), query, (plan.complexity as usize).max(QUESTION_K + 1));
        while !search.step(usize::MAX) {}
        let (mut found, mut row) = (0, Vec::new());
        for candidate in search.finish() {
            let node = candidate.node as usize;
            if node == self.node {
                continue;
            }
            made.writer.read_rows(node, 1, &mut row)?;
            let distance =
                plan.shape.distance(kernels, &row, &self.vector).expect("rows are vectors that the index takes");
            let near = match plan.rows {
                RowFormat::F32 => distance <= worst.distance,
                RowFormat::F16 => {
                    let (low, _) = plan.shape.around(distance, &row, plan.rows.off(&row), &self.vector);
                    low <= worst.distance.into()
                }
            };
            found += usize::from(near);
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
        let copying = matches!(self.at, At::Begin(_) | At::Copying(_));
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
