//! What a measurement was made on, as far as the system tells.

use std::{fmt, fs, path::Path, process::Command, thread};

use serde::Serialize;

/// A machine and what it runs.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The version of this package.
    pub stormproof: &'static str,
    /// The compiler in the path, which built this program unless it was moved.
    pub rustc: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let line = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let rustc = Command::new("rustc").arg("--version").output().ok();
        let rustc = rustc.and_then(|it| Some(String::from_utf8(it.stdout).ok()?.trim().to_owned()));
        Machine {
            cpu: line("/proc/cpuinfo").and_then(|text| value_of(&text, "model name")).unwrap_or_else(|| UNKNOWN.into()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| UNKNOWN.into()),
            stormproof: env!("CARGO_PKG_VERSION"),
            rustc: rustc.unwrap_or_else(|| UNKNOWN.into()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, kernel, stormproof, rustc } = self;
        write!(f, "{cores} cores of {cpu}, kernel {kernel}; stormproof {stormproof}, {rustc}")
    }
}

/// The value in the first line `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value.into())
}

/// The type of the file system that holds `dir`.
pub fn file_system(dir: &Path) -> String {
    let Ok(dir) = dir.canonicalize() else { return UNKNOWN.into() };
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let held = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        dir.starts_with(place).then_some((place.len(), kind))
    });
    // Of several mounts in one place the last one counts.
    held.max_by_key(|(len, _)| *len).map_or_else(|| UNKNOWN.into(), |(_, kind)| kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_of_a_list_is_named() {
        let text = "processor\t: 0\nmodel name\t: Fast One\nprocessor\t: 1\nmodel name\t: Other";
        assert_eq!(value_of(text, "model name").as_deref(), Some("Fast One"));
        assert_eq!(value_of(text, "flags"), None);
    }

    #[test]
    fn a_file_system_is_that_of_the_deepest_mount() {
        assert_eq!(file_system(Path::new("/proc/self")), "proc");
        assert_eq!(file_system(Path::new("/no such place")), UNKNOWN);
    }
}
