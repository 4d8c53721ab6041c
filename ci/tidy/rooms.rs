//! The import table: which room may import which, and which may see the machine.
//!
//! A *room* is a folder of source with one subject. A file belongs to the longest room that its path begins with, so a
//! row such as `engine` stands for what lies in no room below it (`engine/lib.rs`). Every room may import itself and
//! what lies below it; a name in the second column likewise stands for everything below. What a row does not name is
//! a breach, in tests as in the code they test: a room that needs the machine to be tested is not pure.

use Outside::{Machine, Pure};

/// Whether a room may see threads, sockets, files, processes, the environment and the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    Pure,
    Machine,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) folder: &'static str,
    pub(crate) imports: &'static [&'static str],
    pub(crate) outside: Outside,
}

const fn room(folder: &'static str, imports: &'static [&'static str], outside: Outside) -> Room {
    Room { folder, imports, outside }
}

#[rustfmt::skip]
pub(crate) const ROOMS: &[Room] = &[
    //   room                may import                                                              sees
    room("sim/contract",     &[],                                                                    Pure),

    room("engine/ids",       &[],                                                                    Pure),
    room("engine/protocol",  &["sim/contract", "engine/ids"],                                        Pure),
    room("engine/store",     &["sim/contract", "engine/ids"],                                        Pure),
    room("engine/vector",    &["sim/contract", "engine/ids"],                                        Pure),
    room("engine/memory",    &["sim/contract", "engine/ids", "engine/protocol", "engine/store", "engine/vector"], Pure),
    room("engine/territory", &["sim/contract", "engine/ids", "engine/protocol", "engine/memory"],    Pure),
    room("engine/driver",    &["sim/contract", "engine"],                                            Machine),
    room("engine/main",      &["engine/driver"],                                                     Machine),
    room("engine/tests",     &["sim/contract", "engine"],                                            Machine),
    room("engine",           &["sim/contract"],                                                      Pure),

    room("sim/world",        &["sim/contract", "sim/check"],                                         Pure),
    room("sim/check",        &["sim/contract"],                                                      Pure),
    room("sim/hunt",         &["sim/contract", "sim/world", "sim/check"],                            Machine),
    room("sim/examples",     &["sim", "sim/contract"],                                              Pure),
    room("sim/tests",        &["sim"],                                                               Machine),
    room("sim",              &["sim/contract"],                                                      Pure),

    room("reports",          &["sim"],                                                               Pure),
    room("scenarios",        &["engine", "sim", "reports"],                                          Machine),
    room("benches",          &["engine", "sim"],                                                     Machine),
    room("ci",               &[],                                                                    Machine),
];

/// What counts as the machine, as paths: everything below each of them does too.
pub(crate) const MACHINE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "fail",
    "libc",
    "rustix",
    "tempfile",
    "tokio",
];

/// Advice to the machine that changes no value and is heard by nobody: the file that may give it, and what it may name.
pub(crate) const ADVICE: &[(&str, &str)] = &[("engine/vector/simd/pages.rs", "rustix::mm")];

/// The one package that users' engines must link: it brings nothing along.
pub(crate) const WITHOUT_DEPENDENCIES: &str = "sim/contract";

/// The room that holds `path` (a file or a module, relative to the root), if any.
pub(crate) fn room_of(path: &str) -> Option<&'static Room> {
    ROOMS.iter().filter(|room| is_within(path, room.folder)).max_by_key(|room| room.folder.len())
}

impl Room {
    pub(crate) fn may_import(&self, other: &Room) -> bool {
        is_within(other.folder, self.folder) || self.imports.iter().any(|allowed| is_within(other.folder, allowed))
    }

    /// The second column as a reader wants it in a message.
    pub(crate) fn imports_in_words(&self) -> String {
        if self.imports.is_empty() { "nothing of ours".to_owned() } else { self.imports.join(", ") }
    }
}

/// Whether `path` is `folder` or lies below it. A room of one file has no folder: its file is the room.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{ROOMS, room_of};

    #[test]
    fn a_file_belongs_to_the_longest_room_of_its_path() {
        let folder = |path: &str| room_of(path).map(|room| room.folder);
        assert_eq!(folder("engine/store/wal/frame.rs"), Some("engine/store"));
        assert_eq!(folder("engine/lib.rs"), Some("engine"));
        assert_eq!(folder("engine/storehouse/mod.rs"), Some("engine"));
        assert_eq!(folder("sim/contract/lib.rs"), Some("sim/contract"));
        assert_eq!(folder("README.md"), None);
    }

    #[test]
    fn every_name_in_the_second_column_is_a_room() {
        for room in ROOMS {
            for import in room.imports {
                assert!(ROOMS.iter().any(|other| other.folder == *import), "{} imports {import}", room.folder);
            }
        }
    }

    #[test]
    fn nothing_imports_scenarios_and_the_engine_and_the_harness_do_not_meet() {
        let may = |from: &str, to: &str| room_of(from).zip(room_of(to)).is_some_and(|(from, to)| from.may_import(to));
        for room in ROOMS.iter().filter(|room| room.folder != "scenarios") {
            assert!(!may(room.folder, "scenarios"), "{}", room.folder);
            assert!(!(room.folder.starts_with("engine") && may(room.folder, "sim/world")), "{}", room.folder);
            assert!(!(room.folder.starts_with("sim") && may(room.folder, "engine/memory")), "{}", room.folder);
        }
        assert!(may("engine/memory", "engine/store"));
        assert!(!may("engine/store", "engine/memory"));
    }
}
