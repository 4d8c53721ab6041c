//! The simulated disk: what a node's handles do.
//!
//! Every call goes through [`SimDisk::call`]: the dead are refused, queries and jobs get a turn, triggers are met,
//! time passes, and only then does the model in [`fs`](super::fs) act. A handle belongs to one life of one node (or to
//! one of its jobs), so nothing that outlives a crash can touch the disk by it.

use std::sync::Arc;

use stormproof_contract::{
    Disk, DiskError, DiskErrorKind, DiskOp, DiskResult, Entry, File, Lock, Meta, Open, ReadAt, check_path,
};

use super::{
    armory::Met,
    core::{Core, Death, Shared},
    draw::{Entity, PathClass, Stream, path_class},
    fault::FaultKind,
    fs::{Fate, Ino},
    mix::mix_bytes,
    study::At,
    trace::Happened,
};

/// How many disk calls the dead may make before they are stopped: a loop that ignores errors must not run for ever.
const CALLS_AFTER_DEATH_MAX: u32 = 10_000;

/// The payload of the panic that ends such a loop.
pub(crate) struct IgnoredDeath;

/// Who holds a handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) node: u32,
    pub(crate) life: u32,
    pub(crate) task: Task,
}

/// What a node's disk calls are made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// The node itself, and its queries.
    Node,
    /// One of its jobs, by number.
    Job(u32),
}

/// A node's disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) holder: Holder,
    /// The directory that paths are relative to, as the node would name it.
    pub(crate) inside: String,
}

struct SimFile {
    disk: SimDisk,
    ino: Ino,
    epoch: u32,
    path: String,
    class: String,
    class_hash: u64,
    writable: bool,
}

/// A lock is the file's and not the name's, as with `flock`: it stays with a file that is renamed.
struct SimLock {
    disk: SimDisk,
    ino: Ino,
}

/// What the faults make of a call.
#[derive(Default)]
struct Verdict {
    error: Option<DiskErrorKind>,
    /// The call fails, and has its effect all the same.
    done_anyway: bool,
    short: bool,
    fate: Option<FaultKind>,
    misread: bool,
    /// A raw number for details: how short, how far off.
    raw: u32,
}

impl SimDisk {
    /// The dead are refused, waiting queries get a turn, triggers are met, time passes, the model acts.
    fn call<T>(
        &self,
        op: DiskOp,
        path: &str,
        class: PathClass<'_>,
        act: impl FnOnce(&mut Core, &Verdict) -> Result<T, DiskErrorKind>,
    ) -> DiskResult<T> {
        let fail = |kind| DiskError::new(op, path, kind);
        let mut core = self.shared.lock();
        if !self.lives(&core) {
            return Err(fail(self.refuse(core)));
        }
        let node = self.holder.node;
        if self.yields(&mut core, class) {
            core.interleaving = true;
            drop(core);
            if let Some(side) = self.shared.side.get() {
                side.turn(node);
            }
            core = self.shared.lock();
            core.interleaving = false;
            if !self.lives(&core) {
                return Err(fail(DiskErrorKind::Dead));
            }
        }
        let step = self.enter(&mut core, op, path, class);
        let place = core.nodes[node as usize].place_if(core.survey.is_some());
        let (verdict, death) = self.judge(&mut core, op, path, class);
        if let Some((death, false, fault)) = death {
            self.die(&mut core, step, death, fault);
            return Err(fail(DiskErrorKind::Dead));
        }
        if let Some(place) = place {
            core.look(node, At::Before(place));
        }
        let result = match verdict.error.clone() {
            Some(error) if !verdict.done_anyway => Err(error),
            Some(error) => act(&mut core, &verdict).and(Err(error)),
            None => act(&mut core, &verdict),
        };
        if let Some(place) = place {
            if may_change(op, core.script.is_some()) {
                core.look_again(node);
            }
            core.look(node, At::After(place));
        }
        if let Some((death, _, fault)) = death {
            self.die(&mut core, step, death, fault);
            return Err(fail(DiskErrorKind::Dead));
        }
        result.map_err(|kind| {
            let error = fail(kind);
            let words = || format!("n{node}   {error}");
            core.record(Happened::DiskError, u64::from(node), [op as u64, 0], words);
            error
        })
    }

    fn lives(&self, core: &Core) -> bool {
        match self.holder.task {
            Task::Node => self.shared.dials.lives(self.holder.node, self.holder.life),
            Task::Job(job) => core.nodes[self.holder.node as usize].jobs_alive.contains(&job),
        }
    }

    /// Answers the dead, and stops those that do not listen.
    fn refuse(&self, mut core: std::sync::MutexGuard<'_, Core>) -> DiskErrorKind {
        let state = &mut core.nodes[self.holder.node as usize];
        state.calls_after_death += 1;
        // Once, and not again by the calls of destructors while this very panic unwinds.
        let stop = state.calls_after_death == CALLS_AFTER_DEATH_MAX;
        drop(core);
        if stop {
            std::panic::panic_any(IgnoredDeath);
        }
        DiskErrorKind::Dead
    }

    /// Whether a query or a job has a turn before this call.
    fn yields(&self, core: &mut Core, class: PathClass<'_>) -> bool {
        let ready = |side: &Arc<dyn super::core::Side>| side.is_ready(self.holder.node);
        if core.interleaving || self.holder.task != Task::Node || !self.shared.side.get().is_some_and(ready) {
            return false;
        }
        let (scope, chance) = (self.shared.dials.scope(), core.tuning.interleave);
        core.draws.chance(Stream::Interleave, scope, Entity::Path(class, 0), chance)
    }

    /// Books the call, and lets its time pass.
    fn enter(&self, core: &mut Core, op: DiskOp, path: &str, class: PathClass<'_>) -> u32 {
        let node = self.holder.node;
        let state = &mut core.nodes[node as usize];
        state.calls += 1;
        if op == DiskOp::Point {
            state.come_to(class.hash);
        }
        let after = state.point;
        let step = core.coverage.pass(after, op, class);
        let detail = [op as u64, mix_bytes(0, path.as_bytes())];
        core.record(Happened::DiskCall, u64::from(node), detail, || format!("n{node}   {op} {path}"));
        let syncs = matches!(op, DiskOp::Sync | DiskOp::SyncDir);
        let span = if syncs { core.tuning.sync_latency } else { core.tuning.disk_latency };
        if op != DiskOp::Point {
            let scope = self.shared.dials.scope();
            let time = core.draws.span(Stream::DiskLatency, scope, Entity::Path(class, op as u32), &span);
            self.shared.dials.advance(time);
        }
        step
    }

    /// Meets triggers and asks the armed faults.
    fn judge(
        &self,
        core: &mut Core,
        op: DiskOp,
        path: &str,
        class: PathClass<'_>,
    ) -> (Verdict, Option<(Death, bool, u32)>) {
        let node = self.holder.node;
        let state = &mut core.nodes[node as usize];
        let calls = state.calls;
        if state.boot_kill.is_some_and(|(at, _)| calls >= at) {
            let fault = state.boot_kill.take().map_or(0, |(_, fault)| fault);
            return (Verdict::default(), Some((Death::Kill, false, fault)));
        }
        if self.shared.dials.is_quiet() {
            return (Verdict::default(), None);
        }
        let met = match op {
            DiskOp::Point => Met::Point { node, name: path, calls },
            _ => Met::Call { node, op, path, calls },
        };
        let deeds = core.meet(met);
        let death = if deeds.is_empty() { None } else { core.carry_out(deeds, Some(node)) };
        (self.afflict(core, op, path, class), death)
    }

    /// What the armed faults make of the call.
    fn afflict(&self, core: &mut Core, op: DiskOp, path: &str, class: PathClass<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let node = self.holder.node;
        let scope = self.shared.dials.scope();
        for hit in core.armory.on_disk(self.shared.dials.now(), node, op, path) {
            let strikes = hit.chance.0 >= 1_000_000
                || core.draws.chance(Stream::DiskFault, scope, Entity::Fault(hit.id), hit.chance);
            if !strikes {
                continue;
            }
            match hit.kind {
                FaultKind::SlowDisk | FaultKind::DiskStall => self.shared.dials.advance(hit.amount),
                FaultKind::NoSpace => verdict.error = Some(DiskErrorKind::NoSpace),
                FaultKind::ShortRead | FaultKind::ShortWrite => verdict.short = true,
                FaultKind::LostWrite | FaultKind::MisdirectedWrite | FaultKind::TornWrite => {
                    verdict.fate = Some(hit.kind);
                }
                FaultKind::MisdirectedRead => verdict.misread = true,
                _ => {
                    verdict.error = Some(DiskErrorKind::Io);
                    // A failed sync acts in the model (pages turn clean); a failed rename may have been done.
                    let names = matches!(hit.kind, FaultKind::RenameError | FaultKind::SyncDirError);
                    verdict.done_anyway |= hit.kind == FaultKind::SyncError || (names && hit.amount & 1 == 1);
                }
            }
            verdict.raw = core.draws.pick(Stream::Detail, scope, Entity::Path(class, op as u32), 1 << 20);
            core.delivered(&hit, node);
            let words = || format!("n{node}   fault {}: {}", hit.id, hit.kind.name());
            let detail = [u64::from(hit.id), hit.kind as u64];
            core.record(Happened::Fault, u64::from(node), detail, words);
        }
        verdict
    }

    fn die(&self, core: &mut Core, step: u32, death: Death, fault: u32) {
        core.coverage.died_at(step);
        core.deed_done(fault, self.holder.node);
        core.kill(self.holder.node, death);
    }

    /// The path on the machine of one that is as the node would name it. Checked here and not on the machine alone,
    /// where the node's own directory is one among others, with a name by which it could be removed.
    fn full(&self, named: &str) -> Result<String, DiskErrorKind> {
        let root = Core::root(self.holder.node);
        match named {
            "" => Ok(root),
            named if check_path(named) => Ok(format!("{root}/{named}")),
            _ => Err(DiskErrorKind::BadPath),
        }
    }

    /// The same for what must have a name: the node's own directory has none.
    fn place(&self, named: &str) -> Result<String, DiskErrorKind> {
        if named.is_empty() { Err(DiskErrorKind::BadPath) } else { self.full(named) }
    }

    /// As the node would name it, for faults, traces and errors.
    fn named(&self, path: &str) -> String {
        match (self.inside.as_str(), path) {
            ("", path) => path.to_owned(),
            (inside, "") => inside.to_owned(),
            (inside, path) => format!("{inside}/{path}"),
        }
    }

    /// A call on a name rather than on an open file.
    fn on_name<T>(
        &self,
        op: DiskOp,
        path: &str,
        act: impl FnOnce(&mut Core, u32, &str) -> Result<T, DiskErrorKind>,
    ) -> DiskResult<T> {
        let named = self.named(path);
        let class = path_class(&named);
        self.call(op, &named, PathClass::new(&class), |core, _| {
            let machine = core.nodes[self.holder.node as usize].machine;
            let any_directory = matches!(op, DiskOp::SyncDir | DiskOp::List | DiskOp::Free);
            let full = if any_directory { self.full(&named) } else { self.place(&named) };
            act(core, machine, &full?)
        })
    }
}

/// Whether a call can change what a disk holds. After a power loss a read does, by settling what it reads.
fn may_change(op: DiskOp, settles: bool) -> bool {
    match op {
        DiskOp::Point | DiskOp::Meta | DiskOp::List | DiskOp::Free => false,
        DiskOp::Read => settles,
        _ => true,
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str, how: Open) -> DiskResult<Arc<dyn File>> {
        let (ino, epoch) = self.on_name(DiskOp::Open, path, |core, machine, full| {
            let machine = &mut core.machines[machine as usize];
            Ok((machine.fs.open(full, how)?, machine.epoch))
        })?;
        let path = self.named(path);
        let class = path_class(&path);
        let class_hash = PathClass::new(&class).hash;
        let writable = how != Open::Read;
        Ok(Arc::new(SimFile { disk: self.clone(), ino, epoch, path, class, class_hash, writable }))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.on_name(DiskOp::Rename, from, |core, machine, full| {
            let to = self.place(&self.named(to))?;
            core.machines[machine as usize].fs.rename(full, &to)
        })
    }

    fn sync_dir(&self, dir: &str) -> DiskResult<()> {
        self.on_name(DiskOp::SyncDir, dir, |core, machine, full| core.machines[machine as usize].fs.sync_dir(full))
    }

    fn mkdir(&self, dir: &str) -> DiskResult<()> {
        self.on_name(DiskOp::Mkdir, dir, |core, machine, full| core.machines[machine as usize].fs.mkdir(full))
    }

    fn link(&self, existing: &str, new: &str) -> DiskResult<()> {
        self.on_name(DiskOp::Link, existing, |core, machine, full| {
            let new = self.place(&self.named(new))?;
            core.machines[machine as usize].fs.link(full, &new)
        })
    }

    fn clone_file(&self, from: &str, to: &str) -> DiskResult<()> {
        self.on_name(DiskOp::Clone, from, |core, machine, full| {
            let to = self.place(&self.named(to))?;
            let (fs, mut chooser) = core.fs(machine);
            fs.clone_file(full, &to, &mut chooser)
        })
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        self.on_name(DiskOp::Remove, path, |core, machine, full| core.machines[machine as usize].fs.remove(full))
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<Entry>> {
        self.on_name(DiskOp::List, dir, |core, machine, full| core.machines[machine as usize].fs.list(full))
    }

    fn free(&self) -> DiskResult<u64> {
        self.on_name(DiskOp::Free, "", |core, machine, _| Ok(core.machines[machine as usize].fs.free()))
    }

    fn try_lock(&self, path: &str) -> DiskResult<Box<dyn Lock>> {
        let node = self.holder.node;
        let ino = self.on_name(DiskOp::Lock, path, |core, machine, full| {
            let machine = &mut core.machines[machine as usize];
            let ino = machine.fs.open(full, Open::Create)?;
            machine.fs.close(ino);
            if machine.locks.contains_key(&ino) {
                return Err(DiskErrorKind::Locked);
            }
            machine.locks.insert(ino, node);
            Ok(ino)
        })?;
        Ok(Box::new(SimLock { disk: self.clone(), ino }))
    }

    fn scoped(&self, dir: &str) -> Arc<dyn Disk> {
        Arc::new(SimDisk { inside: self.named(dir), ..self.clone() })
    }

    fn point(&self, name: &'static str) -> DiskResult<()> {
        let class = PathClass::new(name);
        self.call(DiskOp::Point, name, class, |core, _| {
            core.nodes[self.holder.node as usize].pass(name);
            Ok(())
        })
    }
}

impl SimFile {
    fn call<T>(
        &self,
        op: DiskOp,
        act: impl FnOnce(&mut Core, u32, &Verdict) -> Result<T, DiskErrorKind>,
    ) -> DiskResult<T> {
        let class = PathClass { words: &self.class, hash: self.class_hash };
        self.disk.call(op, &self.path, class, |core, verdict| {
            let machine = core.nodes[self.disk.holder.node as usize].machine;
            act(core, machine, verdict)
        })
    }

    fn needs_writing(&self) -> Result<(), DiskErrorKind> {
        if self.writable { Ok(()) } else { Err(DiskErrorKind::Unsupported) }
    }
}

impl File for SimFile {
    fn read(&self, parts: &mut [ReadAt<'_>]) -> DiskResult<()> {
        self.call(DiskOp::Read, |core, machine, verdict| {
            let (fs, mut chooser) = core.fs(machine);
            for part in parts.iter_mut() {
                let mut len = part.buf.len();
                if verdict.short && len > 1 {
                    len = 1 + verdict.raw as usize % (len - 1);
                }
                // A misdirected read returns what stands elsewhere in the file.
                let away = if verdict.misread { 512 * (1 + u64::from(verdict.raw) % 16) } else { 0 };
                let offset = if away > part.offset { part.offset + away } else { part.offset - away };
                part.filled = fs.read(self.ino, offset, &mut part.buf[..len], &mut chooser);
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<usize> {
        self.call(DiskOp::Write, |core, machine, verdict| {
            self.needs_writing()?;
            let total: usize = parts.iter().map(|part| part.len()).sum();
            let content = parts.iter().fold(0, |hash, part| mix_bytes(hash, part));
            let node = self.disk.holder.node;
            let words = || format!("n{node}     {total} bytes at {offset}");
            core.record(Happened::DiskCall, u64::from(node), [offset, content], words);
            let fate = match verdict.fate {
                Some(FaultKind::LostWrite) => Fate::Lost,
                Some(FaultKind::TornWrite) => Fate::Torn { sectors_kept: verdict.raw % 8 },
                Some(FaultKind::MisdirectedWrite) => {
                    Fate::Misdirected { to_offset: offset.saturating_add(512 * (1 + u64::from(verdict.raw) % 16)) }
                }
                _ => Fate::Normal,
            };
            let (fs, mut chooser) = core.fs(machine);
            if verdict.short && total > 1 {
                let some = parts.concat();
                let cut = 1 + verdict.raw as usize % (total - 1);
                return fs.write(self.ino, offset, &[&some[..cut]], fate, &mut chooser);
            }
            fs.write(self.ino, offset, parts, fate, &mut chooser)
        })
    }

    fn sync(&self) -> DiskResult<()> {
        self.call(DiskOp::Sync, |core, machine, verdict| {
            let fs = &mut core.machines[machine as usize].fs;
            if verdict.error.is_some() {
                fs.fail_sync(self.ino, verdict.raw & 1 == 0);
            } else {
                fs.sync(self.ino);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.call(DiskOp::SetLen, |core, machine, _| {
            self.needs_writing()?;
            let (fs, mut chooser) = core.fs(machine);
            fs.set_len(self.ino, len, &mut chooser)
        })
    }

    fn allocate(&self, len: u64) -> DiskResult<()> {
        self.call(DiskOp::Allocate, |core, machine, _| {
            self.needs_writing()?;
            core.machines[machine as usize].fs.allocate(self.ino, len)
        })
    }

    fn meta(&self) -> DiskResult<Meta> {
        self.call(DiskOp::Meta, |core, machine, _| Ok(core.machines[machine as usize].fs.meta(self.ino)))
    }

    fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for SimFile {
    /// Closing is not a disk call: it cannot fail, and nobody can die of it.
    fn drop(&mut self) {
        let mut core = self.disk.shared.lock();
        let machine = core.nodes[self.disk.holder.node as usize].machine as usize;
        let machine = &mut core.machines[machine];
        if machine.epoch == self.epoch {
            machine.fs.close(self.ino);
        }
    }
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut core = self.disk.shared.lock();
        // The lock of a dead process is gone already, and may be another's by now.
        if self.disk.lives(&core) {
            let machine = core.nodes[self.disk.holder.node as usize].machine as usize;
            core.machines[machine].locks.remove(&self.ino);
        }
    }
}
