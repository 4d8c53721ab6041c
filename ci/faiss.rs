//! `cargo ci faiss`: the engine with its feature `faiss`, and FAISS's flat index as the oracle of our own.
//!
//! FAISS is C++ and built of its source, in minutes. So this is no part of `.ci/run`, and where something is missing that
//! the build needs it is skipped by name, with the line that installs it, and holds.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Verdict;
use crate::error::Error;

const INSTALL: &str = "apt-get install cmake g++ libopenblas-dev";

/// What the FAISS that the crate carries asks for.
const CMAKE_MIN: (u32, u32) = (3, 24);

/// The tests' names, or those of their modules, say `faiss`.
const ARGUMENTS: &[&str] =
    &["test", "--locked", "--package", "stormproof-engine", "--features", "faiss", "--lib", "faiss"];

pub(crate) fn run() -> Result<Verdict, Error> {
    if let Some(missing) = missing() {
        println!("SKIPPED cargo ci faiss: {missing}; {INSTALL}");
        return Ok(Verdict::Holds);
    }
    let status = Command::new("cargo")
        .args(ARGUMENTS)
        .status()
        .map_err(|source| Error::Start { arguments: ARGUMENTS.join(" "), source })?;
    Ok(if status.success() { Verdict::Holds } else { Verdict::Fell })
}

/// What cannot be built without.
fn missing() -> Option<String> {
    let output = Command::new("cmake").arg("--version").stderr(Stdio::null()).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return Some("there is no cmake".into());
    };
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    if cmake_version(&says).is_none_or(|found| found < CMAKE_MIN) {
        let (major, minor) = CMAKE_MIN;
        let says = says.lines().next().unwrap_or_default();
        return Some(format!("cmake has to be {major}.{minor} or later, and says `{says}`"));
    }
    (!links()).then(|| "no C++ compiler links a program with OpenMP, BLAS and LAPACK".into())
}

/// `cmake version 3.25.1`, as a pair.
fn cmake_version(says: &str) -> Option<(u32, u32)> {
    let mut numbers = says.lines().next()?.strip_prefix("cmake version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether an empty program links with all that FAISS is linked with: the only question that has one answer on every system.
fn links() -> bool {
    let mut compiler = Command::new("c++");
    compiler.args(["-fopenmp", "-x", "c++", "-", "-o", "/dev/null", "-lblas", "-llapack", "-lgomp"]);
    let child = compiler.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.is_ok_and(|mut child| {
        let told = child.stdin.take().is_some_and(|mut source| source.write_all(b"int main() {}").is_ok());
        child.wait().is_ok_and(|status| told && status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::cmake_version;

    #[test]
    fn the_version_of_cmake_is_read() {
        assert_eq!(cmake_version("cmake version 3.25.1\n\nCMake suite maintained"), Some((3, 25)));
        assert_eq!(cmake_version("cmake version 4.1.0-rc1"), Some((4, 1)));
        assert_eq!(cmake_version("cmake3 version"), None);
    }
}
