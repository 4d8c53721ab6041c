//! One thing that is not as it should be: where, what was found, what was expected, and what to do.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning,
    Error,
}

/// All five are needed: a rule that does not say how to obey it is argued with instead of followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) file: String,
    /// From 1; `None` when the finding is about the file as a whole.
    pub(crate) line: Option<usize>,
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match self.line {
            Some(line) => writeln!(f, "{}:{line}: {severity}: found {}", self.file, self.found)?,
            None => writeln!(f, "{}: {severity}: found {}", self.file, self.found)?,
        }
        writeln!(f, "    expected: {}", self.expected)?;
        write!(f, "    to fix:   {}", self.remedy)
    }
}
