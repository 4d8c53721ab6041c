//! `cargo ci tidy`, run as a person runs it, on small workspaces that break one rule each.
//!
//! The fixture has the folders and packages of the real repository and nothing in them, so the real import table is
//! what is tried. Each test adds one breach to a tree that another test shows to be clean.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Folder, package, and what the package depends on.
const PACKAGES: &[(&str, &str, &[&str])] = &[
    ("sim/contract", "stormproof-contract", &[]),
    ("engine", "stormproof-engine", &["stormproof-contract"]),
    ("sim", "stormproof-sim", &["stormproof-contract"]),
    ("reports", "stormproof-reports", &["stormproof-sim"]),
    ("scenarios", "stormproof", &["stormproof-contract", "stormproof-engine", "stormproof-sim", "stormproof-reports"]),
    ("benches", "stormproof-bench", &["stormproof-engine", "stormproof-sim"]),
    ("ci", "ci", &[]),
];

struct Fixture(TempDir);

/// Exit code and what was printed.
struct Answer(i32, String);

impl Fixture {
    fn clean() -> Fixture {
        let fixture = Fixture(TempDir::new().expect("a temporary folder"));
        let members: Vec<String> = PACKAGES.iter().map(|(folder, ..)| format!("{folder:?}")).collect();
        fixture.write(
            "Cargo.toml",
            &format!("[workspace.lints]\n[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", ")),
        );
        fixture.write("README.md", "A fixture.\n");
        for (folder, name, dependencies) in PACKAGES {
            let head = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n");
            let head = head + "[lints]\nworkspace = true\n[dependencies]\n";
            fixture.write(&format!("{folder}/Cargo.toml"), &head);
            fixture.write(&format!("{folder}/lib.rs"), "//! Empty.\n");
            for dependency in *dependencies {
                fixture.depend(folder, dependency);
            }
        }
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }

    fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.0.path().join(path)).expect("a file of the fixture");
        self.write(path, &(old + text));
    }

    /// Adds a path dependency to the last section of a manifest.
    fn depend(&self, folder: &str, package: &str) {
        let (target, ..) = PACKAGES.iter().find(|(_, name, _)| *name == package).expect("a package of the fixture");
        let up = "../".repeat(Path::new(folder).components().count());
        self.append(&format!("{folder}/Cargo.toml"), &format!("{package} = {{ path = \"{up}{target}\" }}\n"));
    }

    fn tidy(&self) -> Answer {
        let command = Command::new(env!("CARGO_BIN_EXE_ci")).arg("tidy").current_dir(self.0.path()).output();
        let output = command.expect("the command starts");
        Answer(output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Answer {
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.0, 0, "{}", self.1);
        assert!(self.1.contains(" 0 errors, 0 warnings"), "{}", self.1);
    }

    /// Exactly one error, at this place, which says each of these.
    #[track_caller]
    fn is_one_error(&self, place: &str, says: &[&str]) {
        assert_eq!(self.0, 1, "{}", self.1);
        assert!(self.1.contains(" 1 errors, 0 warnings"), "{}", self.1);
        assert!(self.1.contains(&format!("{place}: error: found")), "no error at {place} in:\n{}", self.1);
        for part in says.iter().chain(&["expected:", "to fix:"]) {
            assert!(self.1.contains(part), "no `{part}` in:\n{}", self.1);
        }
    }
}

/// A clean tree with one more Rust file, whose first line is taken.
fn with_source(path: &str, source: &str) -> Answer {
    let fixture = Fixture::clean();
    fixture.write(path, &format!("//! A breach, or none.\n{source}\n"));
    fixture.tidy()
}

#[test]
fn a_clean_tree_has_no_findings() {
    let fixture = Fixture::clean();
    fixture.write("engine/memory/mod.rs", "//! Uses what it may.\nuse crate::{protocol::commit, store::wal};\n");
    fixture.write("engine/driver/mod.rs", "//! The machine.\nuse std::{fs, thread};\nuse crate::memory::Node;\n");
    fixture.write("sim/hunt/mod.rs", "//! Runs cases.\nuse std::thread;\nuse crate::{check::Claim, world::World};\n");
    fixture.write(
        "engine/store/notes.rs",
        "//! Not code: crate::driver.\n// use std::fs;\nconst A: &str = \"std::fs::x\";\n",
    );
    fixture.tidy().is_clean();
}

#[test]
fn a_use_line_across_the_table_is_reported_with_its_place() {
    let answer = with_source("engine/store/wal.rs", "use crate::{\n    vector::Flat,\n    store::Frame,\n};");
    answer.is_one_error(
        "engine/store/wal.rs:3",
        &["`crate::vector::Flat`", "engine/vector", "sim/contract, engine/ids only"],
    );
}

#[test]
fn an_inline_path_across_the_table_is_reported() {
    let answer = with_source("engine/protocol/commit.rs", "fn f() -> crate::store::Lsn {\n    todo()\n}");
    answer.is_one_error("engine/protocol/commit.rs:2", &["`crate::store::Lsn`"]);
}

#[test]
fn climbing_out_of_a_room_is_reported() {
    let answer = with_source("engine/vector/flat/mod.rs", "mod tests {\n    use super::super::super::memory::View;\n}");
    answer.is_one_error("engine/vector/flat/mod.rs:3", &["engine/memory"]);
    with_source("engine/vector/flat/mod.rs", "mod tests {\n    use super::super::View;\n}").is_clean();
}

#[test]
fn the_crates_root_is_no_way_around_the_table() {
    for line in ["use crate::Reexported;", "use crate::*;", "use crate as all;"] {
        with_source("sim/world/clock.rs", line).is_one_error("sim/world/clock.rs:2", &["which is in sim\n"]);
    }
}

#[test]
fn the_engine_and_the_harness_never_name_each_other() {
    let engine = with_source("engine/tests/recovery.rs", "use stormproof_sim::world::World;");
    engine.is_one_error("engine/tests/recovery.rs:2", &["sim/world"]);
    let sim = with_source("sim/tests/toys.rs", "extern crate stormproof_engine as e;");
    sim.is_one_error("sim/tests/toys.rs:2", &["engine"]);
}

#[test]
fn nothing_may_name_the_scenarios() {
    with_source("benches/commit.rs", "use stormproof::suites;").is_one_error("benches/commit.rs:2", &["in scenarios"]);
    with_source("scenarios/main.rs", "use stormproof::suites;").is_clean();
}

#[test]
fn the_machine_is_seen_by_the_rooms_that_may_see_it_and_no_other() {
    for line in ["use std::{io, thread};", "fn f() { std::fs::read(\"x\"); }", "use tokio::net;", "use fail::eval;"] {
        with_source("engine/memory/open.rs", line).is_one_error("engine/memory/open.rs:2", &["which is the machine"]);
        with_source("sim/world/disk.rs", line).is_one_error("sim/world/disk.rs:2", &["which is the machine"]);
        with_source("engine/driver/disk.rs", line).is_clean();
        with_source("sim/hunt/run.rs", line).is_clean();
    }
    with_source("engine/memory/open.rs", "use std::{io, time::Duration};").is_clean();
}

#[test]
fn a_dependency_across_the_table_is_reported_at_its_line() {
    let fixture = Fixture::clean();
    fixture.depend("sim", "stormproof-engine");
    fixture.tidy().is_one_error("sim/Cargo.toml:10", &["`stormproof-engine`", "sim to depend on sim/contract only"]);
}

#[test]
fn a_development_dependency_across_the_table_is_reported_too() {
    let fixture = Fixture::clean();
    fixture.append("engine/Cargo.toml", "[dev-dependencies]\n");
    fixture.depend("engine", "stormproof-sim");
    fixture.tidy().is_one_error("engine/Cargo.toml:11", &["`stormproof-sim`"]);
}

#[test]
fn a_renamed_dependency_does_not_hide() {
    let fixture = Fixture::clean();
    fixture.append("engine/Cargo.toml", "harness = { package = \"stormproof-sim\", path = \"../sim\" }\n");
    fixture.tidy().is_one_error("engine/Cargo.toml:10", &["`stormproof-sim`"]);
}

#[test]
fn the_contract_brings_no_dependency() {
    let fixture = Fixture::clean();
    fixture.append("sim/contract/Cargo.toml", "serde = \"1\"\n");
    fixture.tidy().is_one_error("sim/contract/Cargo.toml:9", &["`serde`", "no dependency"]);
}

#[test]
fn a_package_under_no_lints_is_reported() {
    let fixture = Fixture::clean();
    fixture.write("ci/Cargo.toml", "[package]\nname = \"ci\"\n[lib]\npath = \"lib.rs\"\n");
    fixture.tidy().is_one_error("ci/Cargo.toml", &["no lints"]);
}

#[test]
fn a_package_without_a_row_in_the_table_is_reported() {
    let fixture = Fixture::clean();
    fixture.write("sim/extra/lib.rs", "//! Empty.\n");
    fixture.write(
        "sim/extra/Cargo.toml",
        "[package]\nname = \"extra\"\n[lib]\npath = \"lib.rs\"\n[lints]\nworkspace = true\n",
    );
    let manifest = fs::read_to_string(fixture.0.path().join("Cargo.toml")).expect("the manifest");
    fixture.write("Cargo.toml", &manifest.replace("\"ci\"", "\"ci\", \"sim/extra\""));
    fixture.tidy().is_one_error("sim/extra/Cargo.toml", &["of which the import table says nothing"]);
}

#[test]
fn a_path_dependency_outside_the_repository_is_reported() {
    let elsewhere = Fixture::clean();
    let fixture = Fixture::clean();
    let path = elsewhere.0.path().join("ci");
    fixture.append("reports/Cargo.toml", &format!("[dependencies.other]\npackage = \"ci\"\npath = {path:?}\n"));
    let Answer(code, text) = fixture.tidy();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("outside the repository"), "{text}");
}

#[test]
fn the_top_level_holds_what_it_should_and_nothing_else() {
    let fixture = Fixture::clean();
    fixture.write(".editorconfig", "root = true\n");
    fixture.write("LICENSE-MIT", "A licence.\n");
    fixture.write("target/debug/x.rs", "not looked at");
    fixture.tidy().is_clean();

    fixture.write("notes/plan.txt", "A stray folder.\n");
    fixture.tidy().is_one_error("notes", &["the top level does not have"]);

    fs::remove_dir_all(fixture.0.path().join("notes")).expect("removed");
    fs::remove_file(fixture.0.path().join("README.md")).expect("removed");
    fixture.tidy().is_one_error("README.md", &["nothing of this name"]);
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_reported() {
    let fixture = Fixture::clean();
    fixture.write("sim/world/clock.rs", "use std::fmt;\n");
    fixture.tidy().is_one_error("sim/world/clock.rs:1", &["`use std::fmt;`", "`//!` on the first line"]);
}

#[test]
fn a_long_file_is_a_warning_and_no_error() {
    let Answer(code, text) = with_source("sim/world/clock.rs", &"// A line.\n".repeat(700));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("sim/world/clock.rs: warning: found 702 lines"), "{text}");
}

#[test]
fn an_ignored_test_needs_the_command_that_runs_it() {
    for line in ["#[ignore]", "#[ignore = \"slow\"]"] {
        with_source("sim/tests/slow.rs", line).is_one_error("sim/tests/slow.rs:2", &["an ignored test"]);
    }
    with_source("sim/tests/slow.rs", "#[ignore = \"run by `cargo ci mutants`\"]").is_clean();
}

#[test]
fn unfinished_work_is_reported() {
    for line in ["fn f() { todo!() }", "fn f() { dbg!(1); }", "fn f() { std::unimplemented!() }"] {
        with_source("sim/world/clock.rs", line).is_one_error("sim/world/clock.rs:2", &["finished work"]);
    }
}

#[test]
fn unsafe_is_for_the_simd_module_alone() {
    let line = "fn f() { unsafe { g() } }";
    with_source("engine/vector/flat.rs", line).is_one_error("engine/vector/flat.rs:2", &["`unsafe`"]);
    with_source("engine/vector/simd.rs", line).is_clean();
    with_source("engine/vector/simd/avx2.rs", line).is_clean();
}

#[test]
fn a_path_of_one_machine_is_reported_in_any_text_file() {
    let fixture = Fixture::clean();
    fixture.append("README.md", concat!("See ", "/", "home/someone/notes.\n"));
    fixture.tidy().is_one_error("README.md:2", &["which other readers do not have"]);
}

#[test]
fn wrong_use_and_a_missing_workspace_have_their_own_exit_codes() {
    let code = |arguments: &[&str], folder: &Path| {
        let status = Command::new(env!("CARGO_BIN_EXE_ci")).args(arguments).current_dir(folder).output();
        status.expect("the command starts").status.code()
    };
    let empty = TempDir::new().expect("a temporary folder");
    assert_eq!(code(&[], empty.path()), Some(2));
    assert_eq!(code(&["tidy", "more"], empty.path()), Some(2));
    assert_eq!(code(&["tidy"], empty.path()), Some(3));
}
