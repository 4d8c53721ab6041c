//! Which segments to merge next.
//!
//! **Size-tiered.** Looked at from the newest, a run grows towards the older ones while the next is at most as large as all
//! of the run together. Runs of `run_min` and more are merged. So the sizes left over at least double from each segment to
//! the older one but for the newest few: there are about log2(n / `run_min`) + `run_min` segments, and a record is written
//! again about log2(n / `run_min`) times in its life, `n` being how many flushes there were.
//!
//! **Removals.** Those of the oldest segments hide nothing and take room, but only a run that begins with the oldest segment
//! can leave them out. Once they are more than `tombstones_percent` of all entries, everything is merged; but not before the
//! newer segments are that share of the oldest, or else a large one would be written again for every small one.

use std::ops::Range;

use crate::store::segment::SegmentName;

/// The rules by which segments are merged, and their parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergeRules {
    /// The least number of segments that are merged for their sizes. 0: nothing is ever merged.
    pub run_min: usize,
    /// The share of removals among all entries above which everything is merged, in percent.
    pub tombstones_percent: u64,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// All is well.
    DoNothing,
    /// Make one segment of these, by their places in the manifest.
    Merge(Range<usize>),
}

impl MergeRules {
    /// What to do about these segments, the oldest first. No run crosses one of the `borders`, which are places in ascending
    /// order: what is before one of them, and what is behind it, stay apart.
    pub fn decide(&self, segments: &[SegmentName], borders: &[usize]) -> Decision {
        if self.run_min == 0 {
            return Decision::DoNothing;
        }
        let oldest = borders.iter().copied().find(|border| *border > 0).unwrap_or(segments.len());
        if self.has_many_removals(&segments[..oldest]) {
            return Decision::Merge(0..oldest);
        }
        let mut end = segments.len();
        for begin in borders.iter().rev().copied().chain([0]).filter(|begin| *begin < segments.len()) {
            let run = run_of_newest(&segments[begin..end]);
            if run.len() >= self.run_min.max(2) {
                return Decision::Merge(begin + run.start..begin + run.end);
            }
            end = begin;
        }
        Decision::DoNothing
    }
}

impl MergeRules {
    fn has_many_removals(&self, segments: &[SegmentName]) -> bool {
        let [oldest, newer @ ..] = segments else { return false };
        let sum = |segments: &[SegmentName], of: fn(&SegmentName) -> u64| {
            segments.iter().map(of).fold(0, u64::saturating_add)
        };
        let share = |part: u64, of: u64| part.saturating_mul(100) > of.saturating_mul(self.tombstones_percent);
        let removals = sum(segments, |name| name.entries.saturating_sub(name.live));
        share(removals, sum(segments, |name| name.entries))
            && (newer.is_empty() || share(sum(newer, |name| name.bytes), oldest.bytes))
    }
}

/// The newest segments, as far back as each is at most as large as all behind it together.
fn run_of_newest(segments: &[SegmentName]) -> Range<usize> {
    let (mut first, mut bytes) = (segments.len(), 0_u64);
    for (at, name) in segments.iter().enumerate().rev() {
        if first < segments.len() && name.bytes > bytes {
            break;
        }
        first = at;
        bytes = bytes.saturating_add(name.bytes);
    }
    first..segments.len()
}
