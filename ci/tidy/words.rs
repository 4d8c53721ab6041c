//! What only means something on one machine: paths of a developer's disk, and notes kept outside the repository.
//!
//! The repository explains itself. A path that another reader does not have is a dead link at best, and a test that
//! depends on it passes in one place only. The words are put together here, so that this file does not name them.

use super::finding::{Finding, Severity};
use super::tree::File;

/// Roots of folders that differ from machine to machine; a finding when a path begins with one.
const MACHINE_ROOTS: &[&str] = &[
    concat!("/", "home/"),
    concat!("/", "root/"),
    concat!("/", "tmp/"),
    concat!("/", "Users/"),
    concat!("/", "work/"),
    concat!("C:\\", "Users\\"),
];

/// Notes that do not travel with the repository; a finding anywhere.
const OUTSIDE_NOTES: &[&str] = &[concat!("../", "shared"), concat!("DESIGN", ".md")];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().enumerate();
    lines.filter_map(|(index, line)| Some(breach(file, index + 1, foreign_word(line)?))).collect()
}

fn foreign_word(line: &str) -> Option<&'static str> {
    let roots = MACHINE_ROOTS.iter().filter(|root| begins_a_path(line, root));
    let notes = OUTSIDE_NOTES.iter().filter(|note| line.contains(**note));
    roots.chain(notes).next().copied()
}

/// `root` in `line`, and not as the middle of a longer path or address.
fn begins_a_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./~*}".contains(c))
    })
}

fn breach(file: &File, line: usize, word: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.path.clone(),
        line: Some(line),
        found: format!("`{word}`, which other readers do not have"),
        expected: "nothing that lies outside the repository".to_owned(),
        remedy:
            "use a path relative to the repository or a temporary folder from `tempfile`; say here what the note says"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::foreign_word;

    #[test]
    fn a_path_of_a_machine_is_found_wherever_a_path_can_begin() {
        for before in ["", "see ", "\"", "(", "--dir="] {
            let line = format!("{before}{}someone/x", concat!("/", "home/"));
            assert!(foreign_word(&line).is_some(), "{line}");
        }
    }

    #[test]
    fn the_middle_of_a_longer_path_is_not() {
        assert_eq!(foreign_word(concat!("https://example.org", "/", "home/page")), None);
        assert_eq!(foreign_word(concat!("$dir}", "/", "tmp/x")), None);
    }
}
