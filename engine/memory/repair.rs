//! Taking leave of what is damaged, explicitly: afterwards the store starts again, with all that can still be believed.
//!
//! Nothing is guessed. A record whose newest writing cannot be read is *lost*: it is gone from then on, and listed. An older
//! writing of it never comes back in its place. What the log says behind the first frame that cannot be read is lost as a
//! whole, since each frame rests on those before it.
//!
//! - Of a **segment**, whatever can be read goes into a new one, vector by vector, with removals in the place of what is
//!   lost. Which records that was is known even where their keys are damaged: each commit's decision names what it wrote.
//!   Where neither can be read, as of a file that is missing, only their number is known: then nobody can tell whether an
//!   older writing, in an older segment, is the newest one or not, and it counts again. How many there are is said.
//! - The **log** is cut behind the last frame that follows from those before it.
//! - **Files of the index** that were made from what is cut off are put aside; the next start makes it again.
//! - The **manifest** cannot be made again: restore it from a backup.
//!
//! What is replaced is kept in the directory `damaged`. A crash on the way leaves a store that is damaged as before, or less
//! so, to be repaired again: new files are durable before the manifest names them, and only then is anything moved or cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stormproof_contract::{Disk, DiskErrorKind};

use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Batch, Entry, StoreResult,
        files::copy_whole,
        l1::{self, L1Name},
        log::{self, LogNo},
        manifest::{Manifest, ManifestFile},
        segment::{self, Segment, SegmentName, SegmentNo, SegmentWriter},
    },
};

/// Where files go that are replaced.
pub(super) const DAMAGED: &str = "damaged";

/// No frame writes a record more often than this.
const WRITES_PER_FRAME_MAX: u64 = 1 << 20;

/// What was repaired, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Repaired {
    /// What was damaged, and what is done about it.
    pub steps: Vec<Step>,
    /// The records whose newest writing is lost.
    pub records: Vec<LostRecord>,
    /// The frames that are lost, with the transactions that they decided.
    pub frames: Option<LostFrames>,
    /// Segments that have lost what was decided: late copies of those requests are not recognised any more.
    pub forgetful: Vec<Box<str>>,
    /// So many records, deleted ones counted, are lost, or have an older writing again, and nobody can tell which.
    pub unknown: u64,
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
    /// The last one that is known to have been there.
    pub upto: Lsn,
}

impl Repaired {
    /// Whether nothing was damaged.
    pub fn is_nothing(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether nothing is lost that was acknowledged.
    pub fn is_lossless(&self) -> bool {
        self.records.is_empty() && self.frames.is_none() && self.forgetful.is_empty() && self.unknown == 0
    }
}

/// Repairs a node's directory, which nobody may have open; or only says what would be done.
///
/// # Errors
/// Of the disk; and if the manifest cannot be believed, without which nothing can.
pub fn repair(disk: &Arc<dyn Disk>, dry_run: bool) -> StoreResult<Repaired> {
    let Some(manifest) = ManifestFile::load(disk)? else { return Ok(Repaired::default()) };
    let mut survey = Survey::default();
    for name in &manifest.current().segments {
        survey.segment(&**disk, manifest.current(), name)?;
    }
    let log = survey.log(disk, manifest.current())?;
    let ahead = l1_ahead(&**disk, log.end)?;
    let done = Repaired { unknown: survey.unknown, ..Repaired::default() };
    let mut repairing = Repairing { disk, manifest, survey, dry_run, done };
    repairing.segments()?;
    repairing.log(&log, &ahead)?;
    let mut done = repairing.done;
    done.records.sort_unstable();
    done.records.dedup();
    Ok(done)
}

/// What can be read, and what should be there.
#[derive(Default)]
struct Survey {
    /// The newest writing of each record that can be read, or the removal.
    found: BTreeMap<RecordId, Version>,
    /// The newest one that was decided, as far as decisions can be read.
    decided: BTreeMap<RecordId, Version>,
    /// So many records of segments are not known by their ids.
    unknown: u64,
    /// The segments that cannot be read to their end, and why.
    bad: BTreeMap<SegmentNo, Box<str>>,
}

/// How far the log can be believed.
struct LogFound {
    /// The last frame that counts.
    end: Lsn,
    /// Where it ends, if it is in a file that can go on.
    cut: Option<(LogNo, u64)>,
    /// Why no frame behind it counts.
    trouble: Option<Box<str>>,
}

/// What is left of a group.
struct Salvaged {
    /// In the order of their ids; a removal where a body is lost.
    entries: Vec<(RecordId, Entry)>,
    /// The live records among them whose bodies are lost.
    lost: BTreeSet<RecordId>,
}

impl Survey {
    fn segment(&mut self, disk: &dyn Disk, manifest: &Manifest, name: &SegmentName) -> StoreResult<()> {
        let mut flaw = None;
        let Some(segment) = open_what_is_left(disk, manifest, name, &mut flaw)? else {
            self.unknown += name.entries;
            self.bad.extend(flaw.map(|flaw| (name.no, flaw)));
            return Ok(());
        };
        let mut known = 0;
        for group in 0..segment.groups() {
            if let Some(entries) = believed(segment.group(group), &mut flaw)? {
                known += entries.len() as u64;
                self.found.extend(entries.iter().map(|(id, entry)| (*id, entry.version())));
            } else if let Some(Salvaged { entries, lost }) = salvage(&segment, group)? {
                known += entries.len() as u64;
                let kept = entries.iter().filter(|(id, _)| !lost.contains(id));
                self.found.extend(kept.map(|(id, entry)| (*id, entry.version())));
                for (id, entry) in &entries {
                    self.was_decided(*id, entry.version());
                }
            }
        }
        match believed(segment.decisions(), &mut flaw)? {
            None => self.unknown += name.entries - known,
            Some(decisions) => {
                let written = decisions.iter().flat_map(|decided| &decided.versions);
                written.for_each(|&(id, version)| self.was_decided(id, version));
            }
        }
        self.bad.extend(flaw.map(|flaw| (name.no, flaw)));
        Ok(())
    }

    fn log(&mut self, disk: &Arc<dyn Disk>, manifest: &Manifest) -> StoreResult<LogFound> {
        let reach = log::reach(disk, manifest, &mut |lsn, batch| {
            self.batch(lsn > manifest.flushed.lsn, &batch);
            Ok(())
        })?;
        let end = reach.lsn.max(manifest.flushed.lsn);
        // A file that ends before what was flushed cannot be gone on with: its next frame would have another number.
        let cut = reach.place.filter(|_| reach.lsn == end);
        let short = (reach.lsn < end).then(|| format!("it ends with {}, and {end} was flushed", reach.lsn).into());
        Ok(LogFound { end, cut, trouble: reach.trouble.or(short) })
    }

    fn batch(&mut self, counts: bool, batch: &Batch) {
        for write in batch.writes() {
            let (id, version) = (write.id(), Entry::from(write).version());
            self.was_decided(id, version);
            if counts {
                self.found.insert(id, version);
            }
        }
    }

    fn was_decided(&mut self, id: RecordId, version: Version) {
        let newest = self.decided.entry(id).or_insert(version);
        *newest = version.max(*newest);
    }

    /// Whether nothing newer of the record can be read than this, and nothing newer was decided.
    fn is_newest(&self, id: RecordId, version: Version) -> bool {
        let at_most = |known: Option<&Version>| known.is_none_or(|known| *known <= version);
        at_most(self.found.get(&id)) && at_most(self.decided.get(&id))
    }

    /// Records from `first` on, before `end`, whose newest writing can be read nowhere.
    fn missing(&self, first: RecordId, end: Option<RecordId>) -> impl Iterator<Item = (RecordId, Version)> {
        let decided = self.decided.range(first..).take_while(move |(id, _)| end.is_none_or(|end| **id < end));
        let missing = decided.filter(|(id, version)| self.found.get(id).is_none_or(|found| found < version));
        missing.map(|(id, version)| (*id, *version))
    }
}

/// Opens a segment, or what is left of it; `None` if nothing is.
fn open_what_is_left(
    disk: &dyn Disk,
    manifest: &Manifest,
    name: &SegmentName,
    flaw: &mut Option<Box<str>>,
) -> StoreResult<Option<Segment>> {
    let (log, components) = (manifest.log, manifest.components);
    if let Some(whole) = believed(Segment::open(disk, log, name, components), flaw)? {
        return Ok(Some(whole));
    }
    let left = believed(Segment::salvage(disk, log, name, components), flaw)?;
    Ok(left.map(|left| left.segment).filter(|segment| segment.groups() > 0))
}

/// What was read; `None`, and why, if it cannot be believed.
fn believed<T>(read: StoreResult<T>, flaw: &mut Option<Box<str>>) -> StoreResult<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_passing() => Err(error),
        Err(error) => {
            flaw.get_or_insert_with(|| error.to_string().into());
            Ok(None)
        }
    }
}

/// Reads what is left of a group; `None` if its keys cannot be read.
fn salvage(segment: &Segment, group: usize) -> StoreResult<Option<Salvaged>> {
    let mut flaw = None;
    let Some(keys) = believed(segment.keys_of(group), &mut flaw)? else { return Ok(None) };
    let facts = believed(segment.facts_of(group), &mut flaw)?;
    let mut left = Salvaged { entries: Vec::new(), lost: BTreeSet::new() };
    for at in 0..keys.len() {
        let (id, version) = (keys.id(at), keys.version(at));
        let entry = match (keys.row(at), &facts) {
            (None, _) => Some(Entry::Deleted(version)),
            (Some(_), None) => None,
            (Some(_), Some(facts)) => {
                let vector = || segment.vector_of(group, &keys, at);
                believed(segment.entry(group, &keys, at, facts, vector), &mut flaw)?
            }
        };
        if entry.is_none() {
            left.lost.insert(id);
        }
        left.entries.push((id, entry.unwrap_or(Entry::Deleted(version))));
    }
    Ok(Some(left))
}

/// The files of the index that were made from frames after `end`.
fn l1_ahead(disk: &dyn Disk, end: Lsn) -> StoreResult<Vec<L1Name>> {
    Ok(l1::list(disk)?.into_iter().filter(|name| !name.temporary && name.lsn > end).collect())
}

struct Repairing<'a> {
    disk: &'a Arc<dyn Disk>,
    manifest: ManifestFile,
    survey: Survey,
    dry_run: bool,
    done: Repaired,
}

impl Repairing<'_> {
    fn step(&mut self, path: &str, found: &str, done: String) {
        self.done.steps.push(Step { path: path.into(), found: found.into(), done: done.into() });
    }

    fn segments(&mut self) -> StoreResult<()> {
        if self.survey.bad.is_empty() {
            return Ok(());
        }
        let mut segments = Vec::new();
        let mut no = self.free_no()?;
        let mut floor = self.manifest.current().version_floor;
        for name in self.manifest.current().segments.clone() {
            let Some(why) = self.survey.bad.get(&name.no).cloned() else {
                segments.push(name);
                continue;
            };
            let mut remade = Remade::new(no, name);
            no = SegmentNo(no.0 + 1);
            self.remake(&mut remade)?;
            if remade.forgets {
                // What it knew of records that no other knows could have been of any version.
                floor = floor.max(Version(name.upto.0.saturating_mul(WRITES_PER_FRAME_MAX)));
                self.done.forgetful.push(name.no.path().into());
            }
            let into = remade.no.path();
            let rest = if remade.kept == 0 {
                "nothing can be read of it".to_owned()
            } else {
                format!("{} of {} records can be read", remade.kept, name.entries)
            };
            self.step(
                &name.no.path(),
                &why,
                format!("{rest}; `{into}` takes its place, and it is kept in `{DAMAGED}`"),
            );
            segments.extend(remade.name);
        }
        if self.dry_run {
            return Ok(());
        }
        self.manifest.install(|manifest| (manifest.segments, manifest.version_floor) = (segments, floor))?;
        for no in self.survey.bad.keys() {
            self.put_aside(&no.path())?;
        }
        Ok(())
    }

    /// A number that no segment has.
    fn free_no(&self) -> StoreResult<SegmentNo> {
        let there = segment::list(&**self.disk)?.into_iter().filter_map(|path| SegmentNo::of_path(&path));
        let named = self.manifest.current().segments.iter().map(|name| name.no);
        let last = there.chain(named).max().expect("there is a segment that is damaged");
        Ok(SegmentNo(last.0 + 1))
    }

    /// Writes what can be read of a segment into a new one.
    fn remake(&mut self, remade: &mut Remade) -> StoreResult<()> {
        let (log, components) = (self.manifest.current().log, self.manifest.current().components);
        let mut writer =
            if self.dry_run { None } else { Some(SegmentWriter::create(self.disk, log, remade.no, components)?) };
        let opened = open_what_is_left(&**self.disk, self.manifest.current(), &remade.old, &mut None)?;
        let groups = opened.as_ref().map_or(0, Segment::groups);
        for group in 0..groups {
            let segment = opened.as_ref().expect("it has groups");
            let left = match believed(segment.group(group), &mut None)? {
                Some(entries) => Some(Salvaged { entries, lost: BTreeSet::new() }),
                None => salvage(segment, group)?,
            };
            let next = (group + 1 < groups).then(|| segment.first_of(group + 1));
            let left = left.unwrap_or_else(|| self.removals(segment.first_of(group), next));
            self.push(left, remade, &mut writer)?;
        }
        if groups == 0 {
            let left = self.removals(RecordId(0), None);
            self.push(left, remade, &mut writer)?;
        }
        let decisions = match &opened {
            Some(segment) => believed(segment.decisions(), &mut None)?,
            None => None,
        };
        remade.forgets = decisions.is_none();
        if let Some(writer) = writer {
            remade.name = Some(writer.finish(remade.old.upto, &decisions.unwrap_or_default())?);
        }
        Ok(())
    }

    /// What stands for records of which not even the keys can be read.
    fn removals(&self, first: RecordId, end: Option<RecordId>) -> Salvaged {
        let missing: Vec<_> = self.survey.missing(first, end).collect();
        let lost = missing.iter().map(|(id, _)| *id).collect();
        Salvaged { entries: missing.into_iter().map(|(id, version)| (id, Entry::Deleted(version))).collect(), lost }
    }

    fn push(&mut self, left: Salvaged, remade: &mut Remade, writer: &mut Option<SegmentWriter>) -> StoreResult<()> {
        for (id, entry) in left.entries {
            if !left.lost.contains(&id) {
                remade.kept += 1;
            } else if self.survey.is_newest(id, entry.version()) {
                self.done.records.push(LostRecord { id, version: entry.version() });
            }
            if let Some(writer) = writer {
                writer.push(id, &entry)?;
            }
        }
        Ok(())
    }

    fn log(&mut self, found: &LogFound, ahead: &[L1Name]) -> StoreResult<()> {
        let logs = self.manifest.current().logs.clone();
        if let Some(why) = &found.trouble {
            let path = found.cut.map_or(logs[0], |(no, _)| no).path();
            self.step(&path, why, format!("the log is cut behind {}; what it was is kept in `{DAMAGED}`", found.end));
        }
        for name in ahead {
            let why = format!("it was made from {}, and the log ends with {}", name.lsn, found.end);
            self.step(&name.path(), &why, format!("it is put into `{DAMAGED}`; the next start makes the index again"));
        }
        let known = ahead.iter().map(|name| name.lsn).chain(log::last_known(&**self.disk, &logs)?).max();
        if found.trouble.is_some() || !ahead.is_empty() {
            let upto = known.unwrap_or(found.end).max(found.end.next());
            self.done.frames = Some(LostFrames { after: found.end, upto });
        }
        if self.dry_run || self.done.frames.is_none() {
            return Ok(());
        }
        for name in ahead {
            self.put_aside(&name.path())?;
        }
        self.cut_log(found, &logs)
    }

    fn cut_log(&mut self, found: &LogFound, logs: &[LogNo]) -> StoreResult<()> {
        let kept = |base: &crate::store::manifest::L1Base| base.lsn <= found.end;
        let Some((last, end)) = found.cut else {
            let (log, no) = (self.manifest.current().log, self.free_log()?);
            log::create_after(&**self.disk, log, no, found.end)?;
            self.manifest.install(|manifest| {
                manifest.logs = vec![no];
                manifest.l1 = manifest.l1.filter(kept);
            })?;
            return logs.iter().try_for_each(|no| self.put_aside(&no.path()));
        };
        self.manifest.install(|manifest| {
            manifest.logs.retain(|no| *no <= last);
            manifest.l1 = manifest.l1.filter(kept);
        })?;
        logs.iter().filter(|no| **no > last).try_for_each(|no| self.put_aside(&no.path()))?;
        self.copy_aside(&last.path())?;
        log::cut(&**self.disk, last, end)
    }

    /// A number that no file of the log has.
    fn free_log(&self) -> StoreResult<LogNo> {
        let there = self.disk.list("")?.into_iter().filter_map(|entry| LogNo::of_path(&entry.name));
        let last = there.chain(self.manifest.current().logs.iter().copied()).max();
        Ok(LogNo(last.expect("a manifest names at least one file of the log").0 + 1))
    }

    /// Moves a file away that nothing names any more. One that is missing is none.
    fn put_aside(&self, path: &str) -> StoreResult<()> {
        let to = self.aside(path)?;
        match self.disk.rename(path, &to) {
            Err(error) if error.is_not_found() => Ok(()),
            moved => Ok(moved?),
        }
    }

    fn copy_aside(&self, path: &str) -> StoreResult<()> {
        let to = self.aside(path)?;
        copy_whole(&**self.disk, path, &to)
    }

    fn aside(&self, path: &str) -> StoreResult<String> {
        match self.disk.mkdir(DAMAGED) {
            Err(error) if error.kind != DiskErrorKind::Exists => return Err(error.into()),
            Err(_) | Ok(()) => {}
        }
        Ok(format!("{DAMAGED}/{}", path.replace('/', "-")))
    }
}

/// A segment that takes another's place.
struct Remade {
    no: SegmentNo,
    old: SegmentName,
    name: Option<SegmentName>,
    /// How many of its records can be read.
    kept: u64,
    /// Whether what was decided is lost.
    forgets: bool,
}

impl Remade {
    fn new(no: SegmentNo, old: SegmentName) -> Remade {
        Remade { no, old, name: None, kept: 0, forgets: false }
    }
}
