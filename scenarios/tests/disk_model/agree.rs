//! When two answers to one call are the same. Every difference that is allowed is here, with its reason. All are between
//! two refusals: no engine is ever told `Ok` by one disk and an error by the other.

use stormproof_contract::DiskErrorKind::{
    self, BadPath, Exists, NoSpace, NotEmpty, NotFound, Other, Unsupported, WrongKind,
};

use super::{calls::Call, player::Answer};

/// Whether the real answer is what the simulated one promises.
pub(crate) fn agree(call: &Call, simulated: &Answer, real: &Answer) -> bool {
    match (simulated, real) {
        (Answer::Failed(ours), Answer::Failed(theirs)) => {
            ours == theirs || ALLOWED.iter().any(|allowed| (allowed.applies)(call, ours, theirs))
        }
        (ours, theirs) => ours == theirs,
    }
}

/// A difference that is allowed.
struct Difference {
    /// Why both are right, for whoever reads this table.
    #[expect(dead_code, reason = "the reason is for readers")]
    because: &'static str,
    applies: fn(&Call, &DiskErrorKind, &DiskErrorKind) -> bool,
}

const ALLOWED: [Difference; 4] = [
    Difference {
        because: "A call on two names can be wrong in two ways. POSIX leaves open which of them is told; we tell what is \
                  wrong with the first name first, the system looks at both directories first.",
        applies: |call, ours, theirs| {
            let of_a_name = |kind: &DiskErrorKind| matches!(kind, BadPath | NotFound | WrongKind | Exists);
            names(call).is_some() && of_a_name(ours) && of_a_name(theirs)
        },
    },
    Difference {
        because: "A directory cannot move into itself, nor anything onto a directory that it lies in. The contract has \
                  no name for the first (EINVAL), and POSIX allows several for the second.",
        applies: |call, ours, theirs| match call {
            Call::Rename { from, to } if lies_in(to, from) => {
                matches!((ours, theirs), (Other(_) | WrongKind, Other(_)))
            }
            Call::Rename { from, to } if lies_in(from, to) => matches!((ours, theirs), (WrongKind, NotEmpty)),
            _ => false,
        },
    },
    Difference {
        because: "A file opened to read refuses to be changed: `Unsupported` with us, in the words of the system there \
                  (EBADF, EINVAL). It is an engine's own mistake, and none acts on its kind.",
        applies: |call, ours, theirs| {
            changes_up_to(call).is_some() && matches!((ours, theirs), (Unsupported, Other(_)))
        },
    },
    Difference {
        because: "No file reaches beyond 2^63: there is no space with us, in the words of the system there (EINVAL, \
                  EFBIG). Where a file system ends earlier it says so earlier, which is not compared.",
        applies: |call, ours, theirs| {
            let too_far = |end| end > i64::MAX as u64;
            changes_up_to(call).is_some_and(too_far) && matches!((ours, theirs), (NoSpace, Other(_)))
        },
    },
];

/// The two names of a call that has two.
fn names(call: &Call) -> Option<(&str, &str)> {
    match call {
        Call::Rename { from, to } | Call::Clone { from, to } => Some((from, to)),
        Call::Link { existing, new } => Some((existing, new)),
        _ => None,
    }
}

/// Up to where a call would change a file.
fn changes_up_to(call: &Call) -> Option<u64> {
    match call {
        Call::SetLen { len, .. } | Call::Allocate { len, .. } => Some(*len),
        Call::Write { offset, parts, .. } => {
            Some(offset.saturating_add(parts.iter().map(|part| part.len as u64).sum()))
        }
        _ => None,
    }
}

/// Whether `path` is below the directory `dir`.
fn lies_in(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}
