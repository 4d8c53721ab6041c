//! The queries once more, in a process that may not have more than so much memory, page cache included: what is left of the speed
//! where the archive does not fit.
//!
//! The limit is a control group of the system's, version 1 or 2, made below that of this process. The pages of the store are
//! forgotten first, so whatever is read of it then counts as the process's own. Where no group can be made the part is skipped.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{
    Plan, RecallError, Say,
    ask::Queries,
    phase,
    report::{Asked, Limited, Parameters, Part},
    target::{Settings, Tuning},
};
use crate::data::{HELD_MAX, Truth, Vectors, write_ivecs};

/// The argument by which a process knows that it is the limited one.
pub(super) const SUBCOMMAND: &str = "recall-queries";

/// The longest job that a process reads: two paths and a few numbers.
const JOB_BYTES_MAX: u64 = 1 << 20;

/// What the process is to do.
#[derive(Serialize, Deserialize)]
struct Job {
    store: PathBuf,
    settings: Settings,
    queries: PathBuf,
    queries_max: u64,
    truth: PathBuf,
    parameters: Parameters,
}

/// Measures, if it was asked for. Nobody has the store in `dir` open.
pub(super) fn measure(
    plan: &Plan,
    dir: &Path,
    settings: &Settings,
    truth: &Truth,
    say: Say<'_>,
) -> Result<Part<Limited>, RecallError> {
    let Some(ram_mb) = plan.ram_mb else { return Ok(Part::Skipped("--ram-mb is not given".into())) };
    let group = match Group::make(ram_mb) {
        Ok(group) => group,
        Err(why) => return Ok(Part::Skipped(why)),
    };
    say(&format!("the queries once more, in {ram_mb} MiB"));
    let answers = dir.join("truth.ivecs");
    write_ivecs(&answers, truth.k, &truth.ids)?;
    let absolute = |path: &Path| path.canonicalize().map_err(|source| RecallError::Io { path: path.into(), source });
    let index_mib = settings.tuning.index_mib.min(ram_mb / 4);
    let job = Job {
        store: absolute(&dir.join("store"))?,
        settings: Settings { tuning: Tuning { index_mib, ..settings.tuning }, ..settings.clone() },
        queries: absolute(&plan.queries)?,
        queries_max: plan.queries_max,
        truth: absolute(&answers)?,
        parameters: plan.parameters.clone(),
    };
    let (job, failed) = (serde_json::to_vec(&job)?, |source| RecallError::Io { path: SUBCOMMAND.into(), source });
    let program = std::env::current_exe().map_err(failed)?;
    let spawned = Command::new(program).arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(failed)?;
    // It waits for its job until it is in the group, so none of its work is done outside.
    let begun = group.take_in(child.id()).and_then(|()| {
        let mut to = child.stdin.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        to.write_all(&job)
    });
    if let Err(source) = begun {
        // It may be gone already, which is as good.
        let _ = child.kill();
        let _ = child.wait();
        return Ok(Part::Skipped(format!("no process can be put into a control group: {source}")));
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        let queries: Asked = serde_json::from_slice(&output.stdout)?;
        return Ok(Part::Measured(Limited {
            ram_mb,
            index_mib,
            by: group.version.into(),
            peak: group.peak(),
            queries,
        }));
    }
    Ok(Part::Failed(match output.status.signal() {
        Some(9) => format!("{ram_mb} MiB were not enough: the system ended the process"),
        _ => format!("the process ended with {}", output.status),
    }))
}

/// What the process does: reads its job, and writes what came of it.
pub(super) fn child() -> Result<(), RecallError> {
    let failed = |source| RecallError::Io { path: SUBCOMMAND.into(), source };
    let mut job = Vec::new();
    io::stdin().take(JOB_BYTES_MAX).read_to_end(&mut job).map_err(failed)?;
    let Job { store, settings, queries, queries_max, truth, parameters } = serde_json::from_slice(&job)?;
    let vectors = Vectors::open_queries(&queries, Some(queries_max))?.all(HELD_MAX)?;
    let truth = Truth::read(&truth, vectors.len() / settings.dim)?;
    super::vitals::forget_pages(&store).map_err(|source| RecallError::Io { path: store.clone(), source })?;
    let queries = Queries::new(&vectors, settings.dim, &truth);
    let say = |words: &str| eprintln!("  {words}");
    let (asked, target) = phase::ask(&store, &settings, &queries, &parameters, &say)?;
    target.close()?;
    Ok(serde_json::to_writer(io::stdout(), &asked)?)
}

/// A control group that limits memory; it is removed when this is dropped.
struct Group {
    dir: PathBuf,
    version: &'static str,
    peak: &'static str,
}

impl Group {
    fn make(ram_mb: u64) -> Result<Group, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let bytes = ram_mb.saturating_mul(1 << 20);
        let mut whys = Vec::new();
        for place in places(&groups, &mounts) {
            match place.make(bytes) {
                Ok(group) => return Ok(group),
                Err(why) => whys.push(format!("{} in {}: {why}", place.version, place.dir.display())),
            }
        }
        match whys.as_slice() {
            [] => Err("this system has no control groups that limit memory".into()),
            whys => Err(format!("no control group can be made: {}", whys.join("; "))),
        }
    }

    fn take_in(&self, process: u32) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.procs"), process.to_string())
    }

    /// The most memory that was used in it.
    fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that stays limits nobody.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where a group may be made.
#[derive(PartialEq, Eq, Debug)]
struct Place {
    dir: PathBuf,
    version: &'static str,
}

const VERSION_1: &str = "cgroup v1";
const VERSION_2: &str = "cgroup v2";

/// By what the system tells of the groups of this process and of what is mounted where.
fn places(groups: &str, mounts: &str) -> Vec<Place> {
    let mounted = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let fits = words.get(2) == Some(&kind);
            let has = |option| words.get(3).is_some_and(|options| options.split(',').any(|it| it == option));
            (fits && option.is_none_or(has)).then(|| PathBuf::from(words[1]))
        })
    };
    let mut places = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let below = path.trim_start_matches('/');
        if number == "0" && controllers.is_empty() {
            places.extend(mounted("cgroup2", None).map(|dir| Place { dir: dir.join(below), version: VERSION_2 }));
        } else if controllers.split(',').any(|it| it == "memory") {
            let mount = mounted("cgroup", Some("memory"));
            places.extend(mount.map(|dir| Place { dir: dir.join(below), version: VERSION_1 }));
        }
    }
    places
}

impl Place {
    fn make(&self, bytes: u64) -> Result<Group, String> {
        let is_second = self.version == VERSION_2;
        let (limit, peak, swap) = if is_second {
            ("memory.max", "memory.peak", "memory.swap.max")
        } else {
            ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.memsw.limit_in_bytes")
        };
        let dir = self.dir.join(format!("stormproof-bench-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| error.to_string())?;
        let group = Group { dir, version: self.version, peak };
        if !group.dir.join(limit).exists() {
            return Err(format!("it has no {limit}"));
        }
        fs::write(group.dir.join(limit), bytes.to_string()).map_err(|error| format!("{limit}: {error}"))?;
        // Not every system counts what is swapped out; where it does, none may be.
        let _ = fs::write(group.dir.join(swap), if is_second { "0".into() } else { bytes.to_string() });
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_found_where_they_are_mounted() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = places("8:memory:/a/b\n1:cpu:/\n0::/c\n", mounts);
        let dirs: Vec<_> =
            found.iter().map(|place| (place.version, place.dir.to_string_lossy().into_owned())).collect();
        let expected = [(VERSION_1, "/sys/fs/cgroup/memory/a/b"), (VERSION_2, "/sys/fs/cgroup/unified/c")];
        assert_eq!(dirs, expected.map(|(version, dir)| (version, dir.to_owned())));
        assert!(places("0::/\n", "tmpfs /x tmpfs rw 0 0\n").is_empty());
        assert!(places("garbage\n\n1:\n", mounts).is_empty());
    }

    #[test]
    fn a_group_that_cannot_be_made_says_why() {
        let place = Place { dir: "/proc/self/no such place".into(), version: VERSION_2 };
        assert!(place.make(1).is_err_and(|why| !why.is_empty()));
    }
}
