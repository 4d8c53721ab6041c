//! Compaction: a job makes one segment of some, and the node puts it in their place.
//!
//! 1. The job merges them, syncs what it made, reads it back and says what it is. Nothing names it yet.
//! 2. One manifest names it, and no longer the ones it was made of. The node opens it by what it was told, so another file of
//!    that name is refused.
//! 3. The view is published again, of the same frame, and the old files are removed when the node settles next. A query that
//!    began before reads on in them: it holds them open.
//!
//! A crash before the manifest is durable leaves all as it was, and a file that the next recovery removes; after it, the new
//! segment says of every record what the old ones said together. If the installation fails, either manifest may be found, so
//! all of the files stay until another one is in force. Flushes go on meanwhile: they add segments behind the run, and change
//! nothing in it.

use std::{ops::Range, sync::Arc};

use stormproof_contract::{Effects, JobEnd, JobId, Tick};

use super::{away::after_merge, maintain::Leftovers, node::MemoryNode, op::Reply, view::View};
use crate::store::{
    StoreResult,
    compact::{Decision, Made, Merge, Outcome},
    segment::{SegmentName, SegmentNo},
};

/// The points of a compaction, beside those of a segment.
pub(super) const POINTS: [&str; 3] = ["compact.begun", "compact.installed", "compact.published"];

/// What is being done about the segments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Compaction {
    /// Nothing.
    #[default]
    Idle,
    /// A job merges a run of them into one of this number.
    Running { job: JobId, no: SegmentNo, run: Vec<SegmentName> },
    /// The job has made a segment of the run, which is to be installed.
    Made { made: Made, run: Vec<SegmentName> },
    /// A segment is damaged. Nothing is merged any more before an operator has seen to it.
    Stuck,
}

/// How long nothing is tried after failures: twice as long after each, up to about 500 times the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    /// Up to when.
    until: Tick,
}

impl Pause {
    /// When it is over.
    pub(super) fn until(self) -> Tick {
        self.until
    }

    /// How many failures there were.
    pub(super) fn failures(self) -> u32 {
        self.failures
    }

    pub(super) fn lengthen(&mut self, now: Tick, first: Tick) {
        self.until = now + Tick(first.0.saturating_mul(1 << self.failures.min(9)));
        self.failures += 1;
    }
}

impl Compaction {
    /// The segment that is being made, or was made and is not installed: no manifest names it, and yet it is no leftover.
    pub(super) fn making(&self) -> Option<SegmentNo> {
        match self {
            Compaction::Running { no, .. } => Some(*no),
            Compaction::Made { made, .. } => Some(made.name.no),
            Compaction::Idle | Compaction::Stuck => None,
        }
    }
}

impl MemoryNode {
    /// Whether there is something to be done about the segments now.
    pub(super) fn wants_compaction(&self) -> bool {
        self.compaction_due().is_some_and(|due| due <= self.clock.now())
    }

    /// When there will be, as things stand.
    pub(super) fn compaction_due(&self) -> Option<Tick> {
        let wants = self.is_well()
            && !self.consolidation.is_opening()
            && !self.rebuild.is_opening()
            && match &self.compaction {
                Compaction::Idle => self.next_merge() != Decision::DoNothing,
                Compaction::Made { .. } => true,
                Compaction::Running { .. } | Compaction::Stuck => false,
            };
        wants.then_some(self.merge_pause.until)
    }

    fn next_merge(&self) -> Decision {
        let manifest = self.manifest.current();
        let covered = manifest.archive.map(|base| base.covers as usize);
        let borders: Vec<usize> = covered.into_iter().chain(self.rebuild.covers()).collect();
        self.config.compaction.decide(&manifest.segments, &borders)
    }

    /// Starts a merge, or puts in force what one has made.
    pub(super) fn compact(&mut self, out: &mut Effects<Reply>) {
        match std::mem::take(&mut self.compaction) {
            Compaction::Idle => {
                if let Decision::Merge(run) = self.next_merge() {
                    self.start_merge(run, out);
                }
            }
            Compaction::Made { made, run } => match self.install(&made, &run) {
                Ok(()) => {
                    self.merge_pause = Pause::default();
                    let (segments, entries) = (run.len() as u64, made.name.entries);
                    out.note("compacted", &[("segments", segments), ("entries", entries)]);
                }
                // What was made is good, and is installed another time.
                Err(error) if error.is_passing() => self.merge_failed(Compaction::Made { made, run }, out),
                // It is not, but the run is.
                Err(_) => self.merge_failed(Compaction::Idle, out),
            },
            busy @ (Compaction::Running { .. } | Compaction::Stuck) => self.compaction = busy,
        }
    }

    fn start_merge(&mut self, run: Range<usize>, out: &mut Effects<Reply>) {
        let bytes = self.manifest.current().segments[run.clone()].iter().map(|name| name.bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        if self.disk.point(POINTS[0]).is_err() || !self.has_room_for(bytes) {
            return self.merge_failed(Compaction::Idle, out);
        }
        let no = self.take_segment_no();
        let merge = Merge::of(self.l1.log, self.l1.components, no, &self.manifest.current().segments, run);
        // Numbers of segments are not given twice, so they can name jobs, too.
        let job = JobId(no.0);
        out.start_job(job, merge.spec());
        self.compaction = Compaction::Running { job, no, run: merge.run.names };
    }

    /// Hears how a job ended.
    pub(super) fn job_ended(&mut self, ended: JobId, how: &JobEnd, out: &mut Effects<Reply>) {
        let Compaction::Running { job, no, run } = &self.compaction else { return };
        if *job != ended {
            return;
        }
        let (no, run) = (*no, run.clone());
        let outcome = match how {
            JobEnd::Done(word) => Outcome::of_word(word),
            JobEnd::Failed(_) | JobEnd::Killed => None,
        };
        match outcome {
            Some(Outcome::Made(made)) if made.name.no == no => {
                self.compaction = Compaction::Made { made, run };
            }
            Some(Outcome::Damaged(_)) => self.merge_failed(Compaction::Stuck, out),
            Some(Outcome::Made(_)) | None => self.merge_failed(Compaction::Idle, out),
        }
    }

    /// Gives up what was under way, or puts it off. What it has left goes at once: it may hold the space that the disk is
    /// short of.
    fn merge_failed(&mut self, then: Compaction, out: &mut Effects<Reply>) {
        out.note("compaction.failed", &[("damaged", u64::from(then == Compaction::Stuck))]);
        self.compaction = then;
        self.merge_pause.lengthen(self.clock.now(), self.config.again_after);
        self.sweep_segments();
    }

    /// Puts what was made in the place of the run.
    fn install(&mut self, made: &Made, run: &[SegmentName]) -> StoreResult<()> {
        let segment = self.open_segment(&made.name)?;
        let place = place_of(run, &self.manifest.current().segments);
        self.manifest.install(|manifest| {
            manifest.segments.splice(place.clone(), [made.name]);
            manifest.version_floor = manifest.version_floor.max(made.dropped);
            if let Some(base) = &mut manifest.archive {
                base.covers = after_merge(base.covers as usize, &place) as u32;
            }
        })?;
        self.rebuild.merged(&place);
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[1]);
        let view = self.views.newest();
        let mut segments = view.segments.to_vec();
        segments.splice(place.clone(), [Arc::new(segment)]);
        let version_floor = self.manifest.current().version_floor;
        let (away, covered) = (after_merge(view.away, &place), after_merge(view.covered, &place));
        let mut next = View { segments: segments.into(), away, covered, version_floor, ..View::clone(&view) };
        if (place.start + 1..place.end).contains(&view.away) {
            // Of some of what was merged the rows are in memory. If they cannot be sent away they stay, and do no harm.
            next.send_segment_away(place.start);
        }
        self.send_away(&mut next);
        self.views.publish(next);
        self.leftovers.push_back(Leftovers::Segments);
        let _ = self.disk.point(POINTS[2]);
        Ok(())
    }
}

/// Where the run stands among all segments.
fn place_of(run: &[SegmentName], segments: &[SegmentName]) -> Range<usize> {
    let first = segments.windows(run.len()).position(|neighbours| neighbours == run);
    let first = first.expect("a merge is the only one that takes segments away, and there is one at a time");
    first..first + run.len()
}
