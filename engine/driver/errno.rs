//! What the operating system's error numbers mean to an engine.
//!
//! An engine acts on the difference between a full disk, a failed device and a name that is not there, so those are
//! mapped one by one. What has no meaning of its own in the contract keeps the words of the operating system.

use std::io;

use rustix::io::Errno;
use stormproof_contract::DiskErrorKind;

/// The contract's name for an error number.
pub(super) fn kind_of(errno: Errno) -> DiskErrorKind {
    match errno {
        Errno::NOENT => DiskErrorKind::NotFound,
        Errno::EXIST => DiskErrorKind::Exists,
        Errno::NOTEMPTY => DiskErrorKind::NotEmpty,
        // LOOP: the last part of the path is a symbolic link, which we never follow.
        Errno::NOTDIR | Errno::ISDIR | Errno::LOOP => DiskErrorKind::WrongKind,
        // A used-up quota is a full disk to whoever writes.
        Errno::NOSPC | Errno::DQUOT => DiskErrorKind::NoSpace,
        Errno::IO => DiskErrorKind::Io,
        Errno::WOULDBLOCK => DiskErrorKind::Locked,
        Errno::OPNOTSUPP | Errno::NOSYS => DiskErrorKind::Unsupported,
        Errno::NAMETOOLONG => DiskErrorKind::BadPath,
        other => DiskErrorKind::Other(io::Error::from(other).to_string().into()),
    }
}

/// The same for an error of the standard library, which carries an error number whenever the system spoke.
pub(super) fn kind_of_std(error: &io::Error) -> DiskErrorKind {
    match Errno::from_io_error(error) {
        Some(errno) => kind_of(errno),
        None => DiskErrorKind::Other(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_an_engine_acts_on_has_its_own_name() {
        let pairs = [
            (Errno::NOENT, DiskErrorKind::NotFound),
            (Errno::EXIST, DiskErrorKind::Exists),
            (Errno::NOTEMPTY, DiskErrorKind::NotEmpty),
            (Errno::NOTDIR, DiskErrorKind::WrongKind),
            (Errno::ISDIR, DiskErrorKind::WrongKind),
            (Errno::LOOP, DiskErrorKind::WrongKind),
            (Errno::NOSPC, DiskErrorKind::NoSpace),
            (Errno::DQUOT, DiskErrorKind::NoSpace),
            (Errno::IO, DiskErrorKind::Io),
            (Errno::WOULDBLOCK, DiskErrorKind::Locked),
            (Errno::OPNOTSUPP, DiskErrorKind::Unsupported),
            (Errno::NOSYS, DiskErrorKind::Unsupported),
            (Errno::NAMETOOLONG, DiskErrorKind::BadPath),
        ];
        for (errno, kind) in pairs {
            assert_eq!(kind_of(errno), kind, "{errno:?}");
            assert_eq!(kind_of_std(&errno.into()), kind, "{errno:?} by way of the standard library");
        }
    }

    #[test]
    fn any_other_error_keeps_its_words() {
        let DiskErrorKind::Other(words) = kind_of(Errno::ROFS) else {
            panic!("a read-only disk has no name of its own")
        };
        assert!(words.contains("Read-only"), "{words}");
        let made_up = io::Error::other("no number at all");
        assert_eq!(kind_of_std(&made_up), DiskErrorKind::Other("no number at all".into()));
    }
}
