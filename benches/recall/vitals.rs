//! What the system tells of this process and of files: memory, bytes read, bytes on disk. What it does not tell is `None`.

use std::{
    collections::BTreeMap,
    fs,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Advice, fadvise},
    param::clock_ticks_per_second,
};
use serde::{Deserialize, Serialize};

/// Memory of this process, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// What is resident.
    pub resident: Option<u64>,
    /// The most that was, since the phase began if the system can be told so, otherwise since the process began.
    pub peak: Option<u64>,
}

impl Memory {
    /// As it is now.
    pub fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
        };
        Memory { resident: kib("VmRSS:"), peak: kib("VmHWM:") }
    }

    /// Has the peak begin anew; nothing comes of it where that is not allowed.
    pub fn forget_peak() {
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
}

/// Processor time of this process, and of those that it has waited for, so far.
pub(super) fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is in parentheses and may hold anything; eleven fields later the four times begin.
    let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
    Some(ticks as f64 / clock_ticks_per_second() as f64)
}

/// Bytes that this process has read so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reads {
    /// Through calls that read, from disk or from memory. What is mapped is not among them.
    pub called: u64,
    /// From the disk, also of what is mapped.
    pub disk: u64,
}

impl Reads {
    /// Until now, if the system tells.
    pub(super) fn now() -> Option<Reads> {
        let io = fs::read_to_string("/proc/self/io").ok()?;
        let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
        Some(Reads { called: of("rchar:")?, disk: of("read_bytes:")? })
    }
}

/// The files below a directory with their lengths: those of each directory that is two below it, and all others, the log's among
/// them, under `other files`.
pub(super) fn files(dir: &Path) -> io::Result<BTreeMap<String, Vec<(PathBuf, u64)>>> {
    let mut places = BTreeMap::<String, Vec<_>>::new();
    each_file(dir, &mut |path, len| {
        let below = path.strip_prefix(dir).unwrap_or(path);
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        let name = if parts.len() > 2 { parts[..2].join("/") } else { "other files".into() };
        places.entry(name).or_default().push((path.into(), len));
        Ok(())
    })?;
    Ok(places)
}

/// Their bytes.
pub(super) fn on_disk(dir: &Path) -> io::Result<BTreeMap<String, u64>> {
    let sum = |(place, files): (_, Vec<(_, u64)>)| (place, files.into_iter().map(|(_, len)| len).sum());
    Ok(files(dir)?.into_iter().map(sum).collect())
}

/// Asks the system to forget what it holds of the files below a directory, so that the next read of each is from the disk. It may
/// decline; pages that are mapped stay.
pub(super) fn forget_pages(dir: &Path) -> io::Result<()> {
    each_file(dir, &mut |path, _| {
        let file = File::open(path)?;
        // Only what is clean can be forgotten.
        file.sync_all()?;
        Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
    })
}

fn each_file(dir: &Path, see: &mut impl FnMut(&Path, u64) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let seen = entry.metadata().and_then(|meta| {
            if meta.is_dir() {
                each_file(&entry.path(), see)
            } else if meta.is_file() {
                see(&entry.path(), meta.len())
            } else {
                Ok(())
            }
        });
        match seen {
            // An engine that has the directory open removes files as it likes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            seen => seen?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_the_directory_they_are_in() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("node/segments/deep")).expect("made");
        for (name, len) in [("lock", 1), ("node/log", 2), ("node/segments/a", 3), ("node/segments/deep/b", 4)] {
            fs::write(dir.path().join(name), vec![0; len]).expect("written");
        }
        let sums = on_disk(dir.path()).expect("read");
        assert_eq!(sums, BTreeMap::from([("node/segments".into(), 7), ("other files".into(), 3)]));
        forget_pages(dir.path()).expect("forgotten");
    }

    #[test]
    fn this_process_has_memory_and_has_read_something() {
        let memory = Memory::now();
        assert!(memory.resident.is_some_and(|bytes| bytes > 1 << 16), "{memory:?}");
        assert!(memory.peak >= memory.resident, "{memory:?}");
        assert!(Reads::now().is_some_and(|reads| reads.called > 0));
        let begun = cpu_s().expect("the system tells");
        while cpu_s().expect("still") < begun + 0.05 {}
    }
}
