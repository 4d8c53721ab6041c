//! Taking leave of what is damaged, explicitly: afterwards the store starts again, with all that can still be believed.
//!
//! Nothing is guessed. A record whose newest writing cannot be read is *lost*: it is gone from then on, and listed. An older
//! writing of it never comes back in its place. What the log says behind the first frame that cannot be read is lost as a
//! whole, since each frame rests on those before it.
//!
//! - Of a **segment**, whatever can be read goes into a new one, vector by vector, with tombstones in the place of what is
//!   lost. Which records that was is known even where their keys are damaged: each commit's decision names what it wrote.
//!   Where neither can be read, as of a file that is missing, only their number is known: then nobody can tell whether an
//!   older writing, in an older segment, is the newest one or not, and it counts again. How many there may be is said.
//! - The **log** is cut behind the last frame that follows from those before it.
//! - **Files of the index** that were made from what is cut off go; the next start makes it again.
//! - The **manifest** cannot be made again: restore it from a backup.
//!
//! No version is given twice afterwards, since all begin above a floor. LSNs behind the cut are.
//!
//! # Crashes
//! 1. All is looked at, and nothing is written.
//! 2. What is going to be replaced is kept in a directory of its own below `damaged`, with the report of what is lost, durably.
//! 3. New files are written, durably. Nothing names them yet.
//! 4. One manifest names them in the place of what is damaged.
//! 5. The log is cut, and what nothing names any more is removed.
//!
//! A crash before 4 leaves the store as it was; one after it leaves it whole, but for a log that is not cut yet, which is
//! damaged as before, or ends as if it had been cut. The report is there either way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stormproof_contract::{Disk, DiskErrorKind, Open};

use super::recover::make_dir;
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Batch, Entry, StoreError, StoreResult,
        files::{copy_whole, remove_if_there},
        l1::{self, L1Name},
        log::{self, LogNo},
        manifest::{Manifest, ManifestFile},
        segment::{self, Decided, Segment, SegmentName, SegmentNo, SegmentWriter},
    },
};

/// Where files are kept that are replaced, each repair's in a directory of its own.
pub(super) const DAMAGED: &str = "damaged";

/// No frame has more transactions, and each writes a record once at most.
const WRITES_PER_FRAME_MAX: u64 = 4096;
/// No number that we give is greater.
const NUMBER_MAX: u64 = 1 << 62;

/// What was repaired, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Repaired {
    /// What was damaged, and what is done about it.
    pub steps: Vec<Step>,
    /// The records whose newest writing is lost.
    pub records: Vec<LostRecord>,
    /// At most so many records, deleted ones counted, are lost or have an older writing again, and nobody can tell which.
    pub unknown: u64,
    /// The frames that are lost, with the transactions that they decided.
    pub frames: Option<LostFrames>,
    /// Segments that have lost what was decided: late copies of those requests are not recognised any more, and managers
    /// that are in doubt about one of them are told that it came to nothing.
    pub forgetful: Vec<Box<str>>,
    /// Where what was replaced is kept, with this report.
    pub kept_in: Option<Box<str>>,
}

/// What was damaged, and what is done about it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Step {
    /// The file.
    pub path: Box<str>,
    /// What is wrong with it.
    pub found: Box<str>,
    /// What is done about it.
    pub done: Box<str>,
}

/// A record that is lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct LostRecord {
    /// Which.
    pub id: RecordId,
    /// The writing that is lost. If it was a removal, nothing is: where keys are damaged nobody can tell.
    pub version: Version,
}

/// Frames that are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct LostFrames {
    /// The last one that is left.
    pub after: Lsn,
    /// The last one that is known to have been there, if any is.
    pub upto: Option<Lsn>,
}

impl Repaired {
    /// Whether nothing was damaged.
    pub fn is_nothing(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether nothing is lost that was acknowledged.
    pub fn is_lossless(&self) -> bool {
        self.records.is_empty() && self.unknown == 0 && self.frames.is_none() && self.forgetful.is_empty()
    }
}

/// Repairs a node's directory, which nobody may have open; or only says what would be done.
///
/// # Errors
/// Of the disk; and if the manifest cannot be believed, without which nothing can, or a file is of a later format.
pub fn repair(disk: &Arc<dyn Disk>, dry_run: bool) -> StoreResult<Repaired> {
    let Some(mut manifest) = ManifestFile::load(disk)? else { return Ok(Repaired::default()) };
    let survey = Survey::of(disk, manifest.current())?;
    let report = survey.report(&**disk, manifest.current())?;
    if !dry_run && !report.is_nothing() {
        survey.carry_out(disk, &mut manifest, &report)?;
    }
    Ok(report)
}

/// What can be read, and what should be there.
struct Survey {
    /// The newest writing of each record that can be read, or its tombstone.
    found: BTreeMap<RecordId, Version>,
    /// The newest one that was decided, as far as decisions can be read.
    decided: BTreeMap<RecordId, Version>,
    /// The segments that cannot be read to their end.
    bad: BTreeMap<SegmentNo, Bad>,
    /// All segments: those that the manifest names, and those that the log has added since.
    names: Vec<SegmentName>,
    log: LogFound,
    /// Files of the index that were made from frames that the log does not have.
    ahead: Vec<L1Name>,
}

/// A segment that cannot be read to its end.
struct Bad {
    why: Box<str>,
    parts: Vec<Part>,
    /// What was decided, if that can be read.
    decisions: Option<Vec<Decided>>,
    /// Whether some of them are of frames that the log has lost, and are left out.
    forgets: bool,
    /// The newest version of each record that those decisions name.
    own: BTreeMap<RecordId, Version>,
}

/// A part of a segment.
#[derive(Clone, Copy)]
enum Part {
    /// A group whose keys can be read, if perhaps not all else.
    Group(usize),
    /// So many records from `first` on, up to `end`, of which nothing can be read.
    Lost { first: RecordId, end: Option<RecordId>, entries: u64 },
}

/// How far the log can be believed.
struct LogFound {
    /// The files that stay.
    keeps: Vec<LogNo>,
    /// The last frame that counts.
    end: Lsn,
    /// Where the last of the files ends. `None`: the log goes on in a new one.
    cut: Option<(LogNo, u64)>,
    /// What is wrong, where, and what is done about it.
    steps: Vec<Step>,
    /// Whether frames are lost.
    loses: bool,
}

/// What is left of a group.
struct Salvaged {
    /// In the order of their ids; a tombstone where a body is lost.
    entries: Vec<(RecordId, Entry)>,
    /// The live records among them whose bodies are lost.
    lost: BTreeSet<RecordId>,
}

impl Survey {
    fn of(disk: &Arc<dyn Disk>, manifest: &Manifest) -> StoreResult<Survey> {
        let log = LogFound { keeps: Vec::new(), end: Lsn(0), cut: None, steps: Vec::new(), loses: false };
        let (found, decided, bad) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let names = manifest.segments.clone();
        let mut survey = Survey { found, decided, bad, names, log, ahead: Vec::new() };
        survey.log = survey.log(disk, manifest)?;
        for name in survey.names.clone() {
            survey.segment(&**disk, manifest, &name)?;
        }
        let end = survey.log.end;
        survey.ahead = l1::list(&**disk)?.into_iter().filter(|name| !name.temporary && name.lsn > end).collect();
        Ok(survey)
    }

    fn segment(&mut self, disk: &dyn Disk, manifest: &Manifest, name: &SegmentName) -> StoreResult<()> {
        let mut flaw = None;
        let opened = open_what_is_left(disk, manifest, name, &mut flaw)?;
        let mut bad = Bad { why: "".into(), parts: Vec::new(), decisions: None, forgets: false, own: BTreeMap::new() };
        let (mut entries, mut next) = (0, RecordId(0));
        for (segment, group) in
            opened.iter().flat_map(|segment| (0..segment.groups()).map(move |group| (segment, group)))
        {
            let (count, first) = (u64::from(segment.counts_of(group).0), segment.first_of(group));
            let end = (group + 1 < segment.groups()).then(|| segment.first_of(group + 1));
            entries += count;
            bad.parts.push(match read_group(segment, group, &mut flaw)? {
                None => Part::Lost { first, end, entries: count },
                Some(left) => {
                    next = left.entries.last().map_or(next, |(id, _)| RecordId(id.0.saturating_add(1)));
                    self.take(&left);
                    Part::Group(group)
                }
            });
        }
        if entries < name.entries {
            bad.parts.push(Part::Lost { first: next, end: None, entries: name.entries - entries });
        }
        bad.decisions = match &opened {
            Some(segment) => believed(segment.decisions(), &mut flaw)?,
            None => None,
        };
        // Their numbers will be given again.
        let end = self.log.end;
        if let Some(decisions) = &mut bad.decisions
            && decisions.iter().any(|decided| decided.lsn > end)
        {
            bad.forgets = true;
            flaw.get_or_insert_with(|| {
                format!("it has what later frames decided than the log has, up to {end}").into()
            });
            for (id, version) in decisions.iter().flat_map(|decided| &decided.versions) {
                keep_newest(&mut bad.own, *id, *version);
            }
            decisions.retain(|decided| decided.lsn <= end);
        }
        for (id, version) in bad.decisions.iter().flatten().flat_map(|decided| &decided.versions) {
            keep_newest(&mut self.decided, *id, *version);
            keep_newest(&mut bad.own, *id, *version);
        }
        if let Some(why) = flaw {
            self.bad.insert(name.no, Bad { why, ..bad });
        }
        Ok(())
    }

    fn take(&mut self, left: &Salvaged) {
        for (id, entry) in &left.entries {
            keep_newest(&mut self.decided, *id, entry.version());
            if !left.lost.contains(id) {
                keep_newest(&mut self.found, *id, entry.version());
            }
        }
    }

    fn log(&mut self, disk: &Arc<dyn Disk>, manifest: &Manifest) -> StoreResult<LogFound> {
        let flushed = manifest.flushed.lsn;
        let mut reach = log::reach(disk, manifest, &manifest.logs, &mut |_, _| Ok(()))?;
        let mut keeps = manifest.logs.clone();
        let mut steps = Vec::new();
        if let Some(why) = reach.trouble.clone()
            && let Some(from) = log::last_after(&**disk, manifest, flushed)?.filter(|from| *from > 0)
        {
            // What is damaged is in files that hold only what was flushed.
            let rest = log::reach(disk, manifest, &manifest.logs[from..], &mut |_, _| Ok(()))?;
            if rest.lsn > reach.lsn || rest.trouble.is_none() {
                let files: Vec<_> = keeps.drain(..from).map(LogNo::path).collect();
                steps.push(step(&files.join(", "), &why, "it holds only what was flushed, and is not needed".into()));
                reach = rest;
            }
        }
        let end = reach.lsn.max(flushed);
        // A file that ends before what was flushed cannot be gone on with: its next frame would have another number.
        let cut = reach.place.filter(|_| reach.lsn == end);
        let short = || format!("the log ends with {}, and {end} was flushed", reach.lsn).into_boxed_str();
        let trouble = reach.trouble.clone().or_else(|| (reach.lsn < end).then(short));
        if let Some(why) = &trouble {
            let path = cut.map_or(keeps[0], |(no, _)| no).path();
            steps.push(step(&path, why, format!("the log is cut behind {end}")));
        }
        let base = manifest.l1.filter(|base| base.lsn > end);
        if let Some(base) = base {
            let why = format!("it names an index that was made from {}, and the log ends with {end}", base.lsn);
            steps.push(step("manifest", &why, "it names none any more; the next start makes the index again".into()));
        }
        let loaded = manifest.loaded > end;
        if loaded {
            let why = format!("it names a segment that {} has added, and the log ends with {end}", manifest.loaded);
            steps.push(step("manifest", &why, "the segment's records stay".into()));
        }
        keeps.retain(|no| cut.is_some_and(|(last, _)| *no <= last));
        if !keeps.is_empty() {
            // What the frames say counts as far as they do.
            log::reach(disk, manifest, &keeps, &mut |lsn, batch| {
                self.batch(lsn > flushed, &batch);
                self.names.extend(batch.loaded().filter(|_| lsn > flushed.max(manifest.loaded)));
                Ok(())
            })?;
        }
        Ok(LogFound { keeps, end, cut, steps, loses: trouble.is_some() || base.is_some() || loaded })
    }

    fn batch(&mut self, counts: bool, batch: &Batch) {
        for write in batch.writes() {
            let (id, version) = (write.id(), Entry::from(write).version());
            keep_newest(&mut self.decided, id, version);
            if counts {
                keep_newest(&mut self.found, id, version);
            }
        }
    }

    /// Whether nothing newer of the record can be read than this, and nothing newer was decided.
    fn is_newest(&self, id: RecordId, version: Version) -> bool {
        let at_most = |known: Option<&Version>| known.is_none_or(|known| *known <= version);
        at_most(self.found.get(&id)) && at_most(self.decided.get(&id))
    }

    /// What a repair does, and what is lost by it. Writes nothing.
    fn report(&self, disk: &dyn Disk, manifest: &Manifest) -> StoreResult<Repaired> {
        let mut report = Repaired::default();
        let mut no = self.free_no(disk)?;
        for name in self.names.iter().filter(|name| self.bad.contains_key(&name.no)) {
            let bad = &self.bad[&name.no];
            let (mut kept, mut noted) = (0, Vec::new());
            self.remake(disk, manifest, name, &mut |id, entry, is_lost| {
                kept += u64::from(!is_lost);
                if is_lost && self.is_newest(id, entry.version()) {
                    noted.push(LostRecord { id, version: entry.version() });
                }
                Ok(())
            })?;
            report.records.extend(noted);
            report.unknown += bad.parts.iter().map(|part| bad.unknown(*part)).sum::<u64>();
            report.forgetful.extend((bad.decisions.is_none() || bad.forgets).then(|| name.no.path().into()));
            let done = format!("{kept} of {} records can be read; `{}` takes its place", name.entries, no.path());
            report.steps.push(step(&name.no.path(), &bad.why, done));
            no = SegmentNo(no.0 + 1);
        }
        report.steps.extend(self.log.steps.iter().cloned());
        for name in &self.ahead {
            let why = format!("it was made from {}, and the log ends with {}", name.lsn, self.log.end);
            report.steps.push(step(&name.path(), &why, "it goes; the next start makes the index again".into()));
        }
        if self.log.loses || !self.ahead.is_empty() {
            let base = manifest.l1.map(|base| base.lsn);
            let known = self.ahead.iter().map(|name| name.lsn).chain(base).chain([manifest.loaded]);
            let upto = known.chain(log::last_known(disk, &manifest.logs)?).filter(|lsn| *lsn > self.log.end).max();
            report.frames = Some(LostFrames { after: self.log.end, upto });
        }
        report.records.sort_unstable();
        report.records.dedup();
        if !report.is_nothing() {
            report.kept_in = Some(format!("{DAMAGED}/{}", manifest.sequence).into());
        }
        Ok(report)
    }

    /// Hands over what takes the place of a damaged segment, in the order of ids, and whether each is lost.
    fn remake(
        &self,
        disk: &dyn Disk,
        manifest: &Manifest,
        name: &SegmentName,
        push: &mut dyn FnMut(RecordId, &Entry, bool) -> StoreResult<()>,
    ) -> StoreResult<()> {
        let bad = &self.bad[&name.no];
        let opened = open_what_is_left(disk, manifest, name, &mut None)?;
        for part in &bad.parts {
            let left = match (*part, &opened) {
                (Part::Group(group), Some(segment)) => read_group(segment, group, &mut None)?,
                (Part::Group(_) | Part::Lost { .. }, _) => None,
            };
            let left = left.unwrap_or_else(|| self.tombstones(bad, *part));
            for (id, entry) in &left.entries {
                push(*id, entry, left.lost.contains(id))?;
            }
        }
        Ok(())
    }

    /// What stands for records of which not even the keys can be read: those that decisions name, and that can be read nowhere.
    fn tombstones(&self, bad: &Bad, part: Part) -> Salvaged {
        let missing = bad.named(part).filter(|(id, version)| self.found.get(id).is_none_or(|found| found < version));
        let entries: Vec<_> = missing.map(|(id, version)| (id, Entry::Deleted(version))).collect();
        let lost = entries.iter().map(|(id, _)| *id).collect();
        Salvaged { entries, lost }
    }

    fn carry_out(&self, disk: &Arc<dyn Disk>, manifest: &mut ManifestFile, report: &Repaired) -> StoreResult<()> {
        self.keep(&**disk, manifest.current(), report)?;
        let mut made = Vec::new();
        let carried = self.replace(disk, manifest, report, &mut made);
        if carried.is_err() && manifest.is_certain() {
            // A repair that is tried again must not find the disk full of what this one has left.
            for path in &made {
                let _ = disk.remove(path);
            }
        }
        carried?;
        if let Some((last, end)) = self.log.cut {
            log::cut(&**disk, last, end)?;
        }
        let named = manifest.current();
        let segments = self.bad.keys().map(|no| no.path());
        let logs = unnamed_logs(&**disk, named)?;
        for path in self.ahead.iter().map(L1Name::path).chain(segments).chain(logs) {
            remove_if_there(&**disk, &path)?;
        }
        Ok(())
    }

    /// Keeps what is going to be replaced, and the report, durably.
    fn keep(&self, disk: &dyn Disk, manifest: &Manifest, report: &Repaired) -> StoreResult<()> {
        let into = report.kept_in.as_deref().expect("there is something to repair");
        [DAMAGED, into].into_iter().try_for_each(|dir| make_dir(disk, dir))?;
        let segments = self.bad.keys().map(|no| no.path());
        for path in self.ahead.iter().map(L1Name::path).chain(segments) {
            let to = format!("{into}/{}", path.replace('/', "-"));
            match disk.link(&path, &to) {
                Err(error) if error.kind == DiskErrorKind::Exists || error.is_not_found() => {}
                Err(_) => copy_whole(disk, &path, &to)?,
                Ok(()) => {}
            }
        }
        // Not a second name for it: it is going to be cut.
        for no in manifest.logs.iter().filter(|_| !self.log.steps.is_empty()) {
            copy_whole(disk, &no.path(), &format!("{into}/{}", no.path()))?;
        }
        let file = disk.open(&format!("{into}/report.json"), Open::Truncate)?;
        let words = serde_json::to_vec_pretty(report).expect("numbers and words can be written");
        file.write_all_at(0, &[&words])?;
        file.sync()?;
        for dir in [into, DAMAGED, ""] {
            disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Writes what takes the place of what is damaged, and has one manifest name it. `made` says which files are new.
    fn replace(
        &self,
        disk: &Arc<dyn Disk>,
        manifest: &mut ManifestFile,
        report: &Repaired,
        made: &mut Vec<String>,
    ) -> StoreResult<()> {
        let current = manifest.current().clone();
        make_dir(&**disk, segment::DIRECTORY)?;
        let mut no = self.free_no(&**disk)?;
        let mut segments = Vec::new();
        for name in &self.names {
            let Some(bad) = self.bad.get(&name.no) else {
                segments.push(*name);
                continue;
            };
            let mut writer = SegmentWriter::create(disk, current.log, no, current.components)?;
            made.push(no.path());
            self.remake(&**disk, &current, name, &mut |id, entry, _| writer.push(id, entry))?;
            segments.push(writer.finish(name.upto, bad.decisions.as_deref().unwrap_or_default())?);
            no = SegmentNo(no.0 + 1);
        }
        let mut logs = self.log.keeps.clone();
        if logs.is_empty() {
            let no = free_log(&**disk, &current)?;
            log::create_after(&**disk, current.log, no, self.log.end)?;
            made.push(no.path());
            logs.push(no);
        }
        let (end, floor) = (self.log.end, self.floor(&current, report));
        manifest.install(|manifest| {
            (manifest.segments, manifest.logs, manifest.version_floor) = (segments, logs, floor);
            // What frames have added up to the end is among the segments, and what those behind it had is lost.
            manifest.loaded = end;
            manifest.l1 = manifest.l1.filter(|base| base.lsn <= end);
            // It stands for segments that are others now. The next rebuild makes it again.
            manifest.archive = None;
        })
    }

    /// A number that no segment has, whether its file is there or not.
    fn free_no(&self, disk: &dyn Disk) -> StoreResult<SegmentNo> {
        let there = segment::list(disk)?.into_iter().filter_map(|path| SegmentNo::of_path(&path));
        let all = there.chain(self.names.iter().map(|name| name.no)).map(|no| no.0);
        Ok(SegmentNo(all.filter(|no| *no < NUMBER_MAX).max().map_or(0, |last| last + 1)))
    }

    /// Above it all versions begin that are given from now on, if some of those that were given are not known any more.
    fn floor(&self, manifest: &Manifest, report: &Repaired) -> Version {
        let mut floor = manifest.version_floor.0;
        if let Some(LostFrames { after, upto }) = report.frames {
            let frames = upto.unwrap_or(after.next()).0 - after.0;
            let last = self.decided.values().chain(self.found.values()).map(|version| version.0).max().unwrap_or(0);
            floor = floor.max(last.saturating_add(frames.saturating_mul(WRITES_PER_FRAME_MAX)));
        }
        if report.unknown > 0 {
            let upto = self.names.iter().filter(|name| self.bad.contains_key(&name.no)).map(|name| name.upto.0);
            floor = floor.max(upto.max().unwrap_or(0).saturating_mul(WRITES_PER_FRAME_MAX));
        }
        Version(floor.min(NUMBER_MAX))
    }
}

impl Bad {
    /// The records of a lost part that its decisions name.
    fn named(&self, part: Part) -> impl Iterator<Item = (RecordId, Version)> {
        let (first, end) = match part {
            Part::Group(_) => (RecordId(0), Some(RecordId(0))),
            Part::Lost { first, end, .. } => (first, end),
        };
        let range = self.own.range(first..).take_while(move |(id, _)| end.is_none_or(|end| **id < end));
        range.map(|(id, version)| (*id, *version))
    }

    /// How many records of it nobody can name.
    fn unknown(&self, part: Part) -> u64 {
        match part {
            Part::Group(_) => 0,
            Part::Lost { entries, .. } => entries.saturating_sub(self.named(part).count() as u64),
        }
    }
}

fn keep_newest(known: &mut BTreeMap<RecordId, Version>, id: RecordId, version: Version) {
    let newest = known.entry(id).or_insert(version);
    *newest = version.max(*newest);
}

fn step(path: &str, found: &str, done: String) -> Step {
    Step { path: path.into(), found: found.into(), done: done.into() }
}

/// Opens a segment, or what is left of it; `None` if nothing is, or another file stands in its place.
fn open_what_is_left(
    disk: &dyn Disk,
    manifest: &Manifest,
    name: &SegmentName,
    flaw: &mut Option<Box<str>>,
) -> StoreResult<Option<Segment>> {
    let (log, components) = (manifest.log, manifest.components);
    let opened = Segment::open(disk, log, name, components);
    let is_another = matches!(opened, Err(StoreError::Foreign { .. }));
    if let Some(whole) = believed(opened, flaw)? {
        return Ok(Some(whole));
    }
    if is_another {
        return Ok(None);
    }
    let left = believed(Segment::salvage(disk, log, name, components), flaw)?;
    Ok(left.filter(|segment| segment.groups() > 0))
}

/// What was read; `None`, and why, if it cannot be believed. What is of a later format is not for us to judge.
fn believed<T>(read: StoreResult<T>, flaw: &mut Option<Box<str>>) -> StoreResult<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error)
            if (error.is_passing() && !is_cut_off(&error)) || matches!(error, StoreError::UnknownFormat { .. }) =>
        {
            Err(error)
        }
        Err(error) => {
            flaw.get_or_insert_with(|| error.to_string().into());
            Ok(None)
        }
    }
}

/// A file that ends too soon will not be longer the next time.
fn is_cut_off(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(error) if matches!(error.kind, DiskErrorKind::UnexpectedEnd { .. }))
}

/// Reads what is left of a group; `None` if its keys cannot be read.
fn read_group(segment: &Segment, group: usize, flaw: &mut Option<Box<str>>) -> StoreResult<Option<Salvaged>> {
    if let Some(entries) = believed(segment.group(group), flaw)? {
        return Ok(Some(Salvaged { entries, lost: BTreeSet::new() }));
    }
    let Some(keys) = believed(segment.keys_of(group), flaw)? else { return Ok(None) };
    let facts = believed(segment.facts_of(group), flaw)?;
    let mut left = Salvaged { entries: Vec::new(), lost: BTreeSet::new() };
    for at in 0..keys.len() {
        let (id, version) = (keys.id(at), keys.version(at));
        let entry = match (keys.row(at), &facts) {
            (None, _) => Some(Entry::Deleted(version)),
            (Some(_), None) => None,
            (Some(_), Some(facts)) => {
                let vector = || segment.vector_of(group, &keys, at);
                believed(segment.entry(group, &keys, at, facts, vector), flaw)?
            }
        };
        if entry.is_none() {
            left.lost.insert(id);
        }
        left.entries.push((id, entry.unwrap_or(Entry::Deleted(version))));
    }
    Ok(Some(left))
}

/// The files of the log that a manifest does not name.
fn unnamed_logs(disk: &dyn Disk, manifest: &Manifest) -> StoreResult<Vec<String>> {
    let there = disk.list("")?.into_iter().filter_map(|entry| LogNo::of_path(&entry.name));
    Ok(there.filter(|no| !manifest.logs.contains(no)).map(LogNo::path).collect())
}

/// A number that no file of the log has.
fn free_log(disk: &dyn Disk, manifest: &Manifest) -> StoreResult<LogNo> {
    let there = disk.list("")?.into_iter().filter_map(|entry| LogNo::of_path(&entry.name));
    let all = there.chain(manifest.logs.iter().copied()).map(|no| no.0);
    Ok(LogNo(all.filter(|no| *no < NUMBER_MAX).max().map_or(1, |last| last + 1)))
}
