//! Compaction: a job makes one segment of some, and the node puts it in their place.
//!
//! 1. The job merges them, syncs what it made, reads it back and says what it is. Nothing names it yet.
//! 2. One manifest names it, and no longer the ones it was made of. The node opens it by what it was told, so another file of
//!    that name is refused.
//! 3. The view is published again, of the same frame, and the old files are removed. A query that began before reads on in
//!    them: it holds them open.
//!
//! A crash before the manifest is durable leaves all as it was, and a file that the next recovery removes; after it, the new
//! segment says of every record what the old ones said together. If the installation fails, either manifest may be found, so
//! all of the files stay until another one is in force. Flushes go on meanwhile: they add segments behind the run, and change
//! nothing in it.

use std::{ops::Range, sync::Arc};

use stormproof_contract::{Effects, JobEnd, JobId};

use super::{node::MemoryNode, op::Reply, view::View};
use crate::store::{
    StoreResult,
    compact::{Decision, Made, Merge, Outcome},
    segment::{Segment, SegmentName, SegmentNo},
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
        match &self.compaction {
            _ if !self.is_well() => false,
            Compaction::Idle => self.next_merge() != Decision::DoNothing,
            Compaction::Made { .. } => true,
            Compaction::Running { .. } | Compaction::Stuck => false,
        }
    }

    fn next_merge(&self) -> Decision {
        self.config.compaction.decide(&self.manifest.current().segments)
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
                    let (segments, entries) = (run.len() as u64, made.name.entries);
                    out.note("compacted", &[("segments", segments), ("entries", entries)]);
                }
                Err(error) => self.merge_failed(error.is_passing(), out),
            },
            busy @ (Compaction::Running { .. } | Compaction::Stuck) => self.compaction = busy,
        }
    }

    fn start_merge(&mut self, run: Range<usize>, out: &mut Effects<Reply>) {
        if self.disk.point(POINTS[0]).is_err() {
            return self.merge_failed(true, out);
        }
        let no = self.take_segment_no();
        let merge = Merge::of(self.l1.log, self.l1.components, no, &self.manifest.current().segments, run);
        // Numbers of segments are not given twice, so they can name jobs, too.
        let job = JobId(no.0);
        out.start_job(job, merge.spec());
        self.compaction = Compaction::Running { job, no, run: merge.run };
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
                self.again_at = Some(self.clock.now());
            }
            Some(Outcome::Damaged(_)) => self.merge_failed(false, out),
            Some(Outcome::Made(_)) | None => self.merge_failed(true, out),
        }
    }

    /// Gives up what was under way. What it has left is swept, in time.
    fn merge_failed(&mut self, passing: bool, out: &mut Effects<Reply>) {
        out.note("compaction.failed", &[("damaged", u64::from(!passing))]);
        self.compaction = if passing { Compaction::Idle } else { Compaction::Stuck };
        self.again_later();
    }

    /// Puts what was made in the place of the run.
    fn install(&mut self, made: &Made, run: &[SegmentName]) -> StoreResult<()> {
        let segment = Segment::open(&*self.disk, self.l1.log, &made.name, self.l1.components)?;
        let place = place_of(run, &self.manifest.current().segments);
        self.manifest.install(|manifest| {
            manifest.segments.splice(place.clone(), [made.name]);
            manifest.version_floor = manifest.version_floor.max(made.dropped);
        })?;
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[1]);
        let view = self.views.newest();
        let mut segments = view.segments.to_vec();
        segments.splice(place, [Arc::new(segment)]);
        let version_floor = self.manifest.current().version_floor;
        self.views.publish(View { segments: segments.into(), version_floor, ..View::clone(&view) });
        self.sweep_segments();
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
